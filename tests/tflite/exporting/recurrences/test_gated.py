"""Gated recurrences as files: against Keras, and integer for integer against TFLite Micro."""

import warnings

import keras
import numpy as np
import pytest
from covering import covering
from exported_models import random_data, randomize
from gated_models import gated_model
from keras import layers
from simulated import compare_file

import keras_vrnn as kv
from keras_vrnn.tflite.reading import TYPE_NAMES, read

# Mean errors of the output's range. The bars are those of the product; these models, which are random, stay below.
BARS = {"float32": 1e-5, "int8": 0.015, "int16x8": 0.003}
X = random_data(40, 12, 4)
KINDS = {
    "GRU": lambda **options: layers.GRU(6, **options),
    "GRU, reset before": lambda **options: layers.GRU(6, reset_after=False, **options),
    "LSTM": lambda **options: layers.LSTM(6, **options),
    "FastRNN": lambda **options: kv.FastRNN(6, **options),
}


def model_of(layer, timesteps=12):
    inputs = keras.Input((timesteps, 4), name="x")
    return randomize(keras.Model(inputs, layers.Dense(3, name="y")(layer(inputs))))


def error(model, path, x=X):
    y, made = model.predict(x, verbose=0), kv.tflite.Runner(path)(x)
    made = made if made.ndim == y.ndim else made[:, -1]
    return np.abs(made - y).mean() / np.ptp(y)


@pytest.mark.parametrize(
    ("kind", "form", "quantization"), covering(list(KINDS), ["sequence", "unrolled", "streaming"], list(BARS))
)
def test_every_form(kind, form, quantization, tmp_path):
    model, path = model_of(KINDS[kind](return_sequences=form == "streaming")), tmp_path / "m"
    kv.tflite.export(model, path, form=form, quantization=quantization, calibration_data=X)
    assert error(model, path) <= BARS[quantization]


@pytest.mark.parametrize("kind", KINDS)
def test_saturated_states(kind, tmp_path):
    """n − h spans from -2 to 2: a SUB of int16 with three scales near powers of two, which LiteRT refuses."""
    model, x = model_of(KINDS[kind]()), 50 * X
    layer = model.layers[1]
    layer.set_weights([10 * weight for weight in layer.get_weights()])
    kv.tflite.export(model, tmp_path / "m", quantization="int16x8", calibration_data=x)
    assert (
        error(model, tmp_path / "m", x) <= 0.01
    )  # a state that flips with the rounding counts as far as it goes


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_the_simulation_equals_tflite_micro(seed, quantization, tmp_path):
    model, x = gated_model(seed, only_native=quantization == "int16x8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kv.tflite.AccuracyWarning)
        kv.tflite.export(
            model, tmp_path / "m", quantization=quantization, calibration_data=x, io="float32", max_error=9
        )
    assert compare_file(tmp_path / "m", x)[0] == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 20))
@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_many_models(seed, quantization, tmp_path):
    model, x = gated_model(seed, only_native=quantization == "int16x8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kv.tflite.AccuracyWarning)
        kv.tflite.export(
            model, tmp_path / "m", quantization=quantization, calibration_data=x, io="float32", max_error=9
        )
    if quantization != "float32":
        assert compare_file(tmp_path / "m", x)[0] == {}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_the_loop_is_float(kind, tmp_path):
    for quantization in ("int8", "int16x8"):
        path = tmp_path / quantization
        kv.tflite.export(model_of(KINDS[kind]()), path, quantization=quantization, calibration_data=X)
        _, file = read(path)
        assert len(file.subgraphs) == 3  # main, and the condition and the body of one loop
        types = {TYPE_NAMES[tensor.type] for graph in file.subgraphs for tensor in graph.tensors}
        assert types <= {"INT8", "INT16", "INT32", "INT64", "BOOL"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_does_not_depend_on_the_length(kind, tmp_path):
    sizes = []
    for timesteps in (10, 200):
        x = random_data(4, timesteps, 4)
        model = model_of(KINDS[kind](), timesteps)
        sizes.append(kv.tflite.export(model, tmp_path / str(timesteps), calibration_data=x).size)
    assert abs(sizes[0] - sizes[1]) <= 64


def test_a_long_memory_survives_int8(tmp_path):
    """The states of a GRU whose gates are almost closed, over 400 steps; in int8 they would not move at all."""
    inputs = keras.Input((400, 2), name="x")
    model = keras.Model(inputs, layers.GRU(4, return_sequences=True, name="h")(inputs))
    rng = np.random.default_rng(0)
    kernel, recurrent_kernel, bias = (rng.normal(size=w.shape, scale=0.3) for w in model.get_weights())
    bias[:] = 0.0
    bias[0, :4] = 4.0  # 1 - u is 0.018
    model.set_weights([kernel, 0.2 * recurrent_kernel, bias])
    x = rng.choice([-1.0, 1.0], size=(20, 8, 2)).repeat(50, axis=1).astype("float32")
    kv.tflite.export(model, tmp_path / "m", calibration_data=x)
    assert error(model, tmp_path / "m", x) <= 0.015
    assert np.abs(model.predict(x, verbose=0)).max() > 0.2


def test_states_pass_from_layer_to_layer(tmp_path):
    inputs = keras.Input((12, 4), name="x")
    y, h, c = layers.LSTM(5, return_sequences=True, return_state=True)(inputs)
    z = layers.LSTM(5)(y, initial_state=[h, c])
    g, s = layers.GRU(5, return_state=True)(y, initial_state=layers.Dense(5, "tanh")(h))
    model = randomize(keras.Model(inputs, [layers.Dense(2, name="a")(z), layers.Dense(2, name="b")(g), c, s]))
    for quantization, bar in BARS.items():
        path = tmp_path / quantization
        kv.tflite.export(model, path, quantization=quantization, calibration_data=X)
        made = kv.tflite.Runner(path)(X)
        for one, other in zip(made.values(), model.predict(X, verbose=0), strict=True):
            assert np.abs(one - other).mean() <= bar * np.ptp(other)


def test_a_cell_with_a_step_of_its_own_is_refused(tmp_path):
    class Halved(layers.GRUCell):
        def call(self, inputs, states, training=False):
            h, states = super().call(inputs, states, training)
            return h / 2, states

    with pytest.raises(ValueError, match="with a Halved, which has a `call` of its own"):
        kv.tflite.export(model_of(layers.RNN(Halved(4))), tmp_path / "m", calibration_data=X)


def test_an_activation_without_int16_operator_is_refused(tmp_path):
    model = model_of(layers.LSTM(4, recurrent_activation="softplus"))
    with pytest.raises(ValueError, match=r"'softplus', for which there is no int16 operator; .*hard_sigmoid"):
        kv.tflite.export(model, tmp_path / "m", quantization="int16x8", calibration_data=X)
    assert list(tmp_path.iterdir()) == []
