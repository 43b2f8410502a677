"""The operators of gated steps."""

import keras
import pytest
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv

X = random_data(20, 6, 3)


def operators(layer, tmp_path, **options):
    inputs = keras.Input((6, 3), name="x")
    model = randomize(keras.Model(inputs, layer(inputs)))
    result = kv.tflite.export(model, tmp_path / "m", calibration_data=X, **options)
    return result.operators


def test_a_gru_step_in_int8(tmp_path):
    """Both gates and the new values take one function each; the state is rounded to int8 once."""
    found = operators(layers.GRU(4), tmp_path)
    assert (found["LOGISTIC"], found["TANH"], found["QUANTIZE"]) == (1, 1, 1)
    assert found["FULLY_CONNECTED"] == 4  # two of the input, two of the state


def test_an_lstm_step_in_int8(tmp_path):
    found = operators(layers.LSTM(4), tmp_path)
    assert (found["LOGISTIC"], found["TANH"], found["QUANTIZE"]) == (1, 2, 2)


def test_float_steps_have_no_conversions(tmp_path):
    found = operators(layers.GRU(4), tmp_path, quantization="float32")
    assert not found.keys() & {"QUANTIZE", "DEQUANTIZE", "CAST"}


@pytest.mark.parametrize("activation", ["relu", "elu", "linear", "hard_sigmoid"])
def test_functions_of_the_cell_state(activation, tmp_path):
    layer = layers.LSTM(4, activation=activation, recurrent_activation="hard_sigmoid")
    found = operators(layer, tmp_path)
    assert "TANH" not in found
