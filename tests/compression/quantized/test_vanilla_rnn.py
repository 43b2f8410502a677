"""The quantization-aware vanilla RNN as a Keras layer."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import compression

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

X = np.random.default_rng(0).normal(size=(8, 7, 3)).astype("float32")


def aware(layer, quantization="int8"):
    inputs = keras.Input((7, 3), name="x")
    made = compression.quantize_aware(kv.Model(inputs, layer(inputs)), quantization, calibration_data=X)
    return made, made.layers[-1]


@pytest.mark.parametrize("layer", [kv.VanillaRNN, keras.layers.SimpleRNN])
def test_it_keeps_configuration_and_weights(layer):
    source = layer(4, activation="relu", go_backwards=True, use_bias=False, recurrent_dropout=0.2, name="r")
    _, made = aware(source)
    config = made.get_config()
    assert config.pop("scheme") == "int8"
    expected = source.get_config()
    assert {name: config[name] for name in expected} == expected
    assert made.name == "r"
    for name in ("kernel", "recurrent_kernel"):
        np.testing.assert_array_equal(getattr(made.cell, name), getattr(source.cell, name))


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_states_are_near_those_of_float_arithmetic(quantization):
    keras.utils.set_random_seed(0)
    source = kv.VanillaRNN(4, return_sequences=True)
    made, _ = aware(source, quantization)
    # Some steps of the scale of int8, and of the weights' at int16.
    assert np.abs(np.array(made(X)) - np.array(source(X))).max() < 0.05


def test_ranges_hold_every_unmasked_signal():
    from keras_vrnn.compression.quantized import signals

    keras.utils.set_random_seed(0)
    source = kv.VanillaRNN(4, activation="linear")
    _, made = aware(source)
    mask = np.ones((8, 7), bool)
    mask[:, 3] = False
    x = X.copy()
    x[:, 3] = 1000  # padding
    before = np.array(made.signals._variable)
    with signals.calibrating():
        made(x, mask=mask)
    z = X @ np.array(made.cell.kernel) + np.array(made.cell.bias)
    np.testing.assert_allclose(before[0], [z.min(), z.max()], rtol=1e-5)
    assert np.abs(np.array(made.signals._variable)).max() < 100


@pytest.mark.parametrize(
    ("function", "name"),
    [("tanh", "tanh"), ("sigmoid", "sigmoid"), ("relu6", "relu6"), (None, "linear"), ("elu", "table")],
)
def test_names_of_activations(function, name):
    from keras_vrnn.compression.quantized.vanilla_rnn import activation_name

    assert activation_name(keras.activations.get(function)) == name


def test_it_runs_again_at_another_batch_size_and_in_unrolled_form():
    keras.utils.set_random_seed(0)
    made, _ = aware(kv.VanillaRNN(4))
    keras.utils.set_random_seed(0)
    unrolled, _ = aware(kv.VanillaRNN(4, unroll=True))
    np.testing.assert_array_equal(made(X)[:3], made(X[:3]))
    np.testing.assert_array_equal(made(X), unrolled(X))
