"""The simulation against TFLite Micro itself: no integer may differ."""

import keras
import numpy as np
import pytest
from keras import layers
from simulated import compare

import keras_vrnn as kv
from keras_vrnn.tflite.micro.interpreter import is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")

INTEGERS = ("int8", "int16x8")


def random_model(seed, timesteps, features, units, activation="tanh", masking=False, **options):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((timesteps, features), name="x")
    read = layers.Masking()(inputs) if masking else inputs
    bounded = activation not in ("relu", "linear")
    layer = kv.VanillaRNN(
        units,
        activation=activation,
        recurrent_initializer=kv.initializers.SpectralRadius(1.2 if bounded else 0.9),
        bias_initializer=keras.initializers.RandomNormal(stddev=0.3),
        **options,
    )
    return keras.Model(inputs, layer(read))


@pytest.mark.parametrize("quantization", INTEGERS)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "relu6", "hard_tanh", "linear"])
def test_every_activation_is_that_of_the_kernels(activation, quantization, tmp_path):
    model = random_model(1, 16, 5, 7, activation, return_sequences=True)
    x = np.random.default_rng(0).normal(size=(16, 16, 5)).astype("float32")
    different, _ = compare(model, x, tmp_path / "m.tflite", quantization=quantization)
    assert not different


@pytest.mark.parametrize("quantization", INTEGERS)
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("sequence", {"go_backwards": True, "return_sequences": True, "return_state": True}),
        ("sequence", {"masking": True, "return_sequences": True, "zero_output_for_mask": True}),
        ("sequence", {}),
        ("unrolled", {"masking": True}),
        ("streaming", {"return_sequences": True}),
    ],
)
def test_every_form_is_that_of_the_kernels(form, options, quantization, tmp_path):
    model = random_model(2, 9, 3, 12, **options)
    x = np.random.default_rng(1).normal(size=(8, 9, 3)).astype("float32")
    x[:, 5:] *= 1 if not options.get("masking") else np.arange(8)[:, None, None] % 2
    different, _ = compare(model, x, tmp_path / "m.tflite", quantization=quantization, form=form)
    assert not different


@pytest.mark.parametrize("quantization", INTEGERS)
def test_state_inside_the_file_and_float_edges(quantization, tmp_path):
    model = random_model(3, 6, 4, 5, return_sequences=True)
    x = np.random.default_rng(2).normal(size=(4, 6, 4)).astype("float32")
    for options in ({"form": "streaming", "state": "internal"}, {"io": "float32"}):
        different, _ = compare(model, x, tmp_path / f"{options}.tflite", quantization=quantization, **options)
        assert not different, options


@pytest.mark.slow
@pytest.mark.parametrize("quantization", INTEGERS)
def test_long_wide_and_narrow_recurrences(quantization, tmp_path):
    compared = 0
    for seed, (timesteps, features, units, samples) in enumerate(
        [(1000, 3, 64, 4), (200, 70, 32, 16), (50, 9, 128, 16), (30, 1, 1, 64), (10, 300, 5, 64)]
    ):
        model = random_model(seed, timesteps, features, units, return_sequences=True)
        x = np.random.default_rng(seed).normal(size=(samples, timesteps, features)).astype("float32")
        different, count = compare(model, x, tmp_path / f"{seed}.tflite", quantization=quantization)
        assert not different, seed
        compared += count
    assert compared == 465_920


def test_what_the_simulation_lacks_is_named(tmp_path):
    inputs = keras.Input((4, 3), name="x")
    model = keras.Model(inputs, layers.Dense(3, activation="gelu")(kv.VanillaRNN(5)(inputs)))
    x = np.random.default_rng(0).normal(size=(8, 4, 3)).astype("float32")
    kv.tflite.export(model, tmp_path / "int8.tflite", calibration_data=x)
    with pytest.raises(ValueError, match="holds the operator GELU, which the simulation does not have"):
        kv.tflite.simulate(tmp_path / "int8.tflite", x)
    kv.tflite.export(
        keras.Model(inputs, kv.VanillaRNN(5)(inputs)), tmp_path / "float.tflite", quantization="float32"
    )
    with pytest.raises(ValueError, match="in float32"):
        kv.tflite.simulate(tmp_path / "float.tflite", x)
