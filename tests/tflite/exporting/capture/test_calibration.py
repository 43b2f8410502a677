"""Ranges of extreme data and weights: a working file or a clear error, never the end of the process."""

import keras
import numpy as np
import pytest
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv

X = random_data(32, 8, 4)


def model_with(kind):
    inputs = keras.Input((8, 4), name="x")
    layer = kv.VanillaRNN(6, activation="relu" if kind == "relu" else "tanh")
    x = {"dense": layers.Dense(5), "conv": layers.Conv1D(5, 3)}.get(kind, lambda t: t)(inputs)
    model = randomize(keras.Model(inputs, layers.Dense(3, name="y")(layer(x))))
    if kind == "relu":
        kernel, recurrent_kernel, bias = layer.get_weights()
        layer.set_weights([kernel, 0 * recurrent_kernel, bias])
    return model


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("kind", ["recurrence", "dense", "conv", "relu"])
@pytest.mark.parametrize("size", [1e-39, 1e-4])
def test_tiny_data(kind, size, quantization, tmp_path):
    x = (size * X.astype("float64")).astype("float32")
    result = kv.tflite.export(model_with(kind), tmp_path / "m", quantization=quantization, calibration_data=x)
    # The data is as good as zero, and the biases decide: a step or two of each format.
    assert result.errors["y"] <= 0.03


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("size", [1e6, 1e30])
def test_huge_data_saturates_the_recurrence(size, quantization, tmp_path):
    x = np.float32(size) * X
    result = kv.tflite.export(
        model_with("recurrence"), tmp_path / "m", quantization=quantization, calibration_data=x
    )
    assert result.errors["y"] <= 0.03


def test_data_whose_square_no_float_holds_is_refused(tmp_path):
    inputs = keras.Input((8, 4), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(6)(layers.LayerNormalization()(inputs)))
    x = np.float32(1e30) * X
    with pytest.raises(ValueError, match=r"the value '.*layer_normalization.*' would need the scale .*e\+3"):
        kv.tflite.export(model, tmp_path / "m", quantization="int16x8", calibration_data=x)
    assert list(tmp_path.iterdir()) == []


UNITS = {"tiny": 1e-10, "zero": 0.0, "huge": 1e4}


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("unit", UNITS)
def test_one_unit_with_other_weights(unit, quantization, tmp_path):
    inputs = keras.Input((8, 4), name="x")
    layer = kv.VanillaRNN(6)
    model = keras.Model(inputs, layer(inputs))
    kernel, recurrent_kernel, _ = randomize(model).get_weights()
    kernel[:, 0] *= UNITS[unit]
    layer.set_weights([kernel, recurrent_kernel, np.linspace(-0.9, 0.9, 6)])
    options = dict(quantization=quantization, calibration_data=X, max_error=0.04)
    if (unit, quantization) == ("huge", "int16x8"):  # one scale for all weights leaves nothing of the others
        with pytest.raises(ValueError, match="the input product of unit 0 reaches"):
            kv.tflite.export(model, tmp_path / "m", **options)
    else:
        kv.tflite.export(model, tmp_path / "m", **options)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_a_tiny_unit_of_a_layer_around_the_recurrence(kind, quantization, tmp_path):
    model = model_with(kind)
    for layer in (model.layers[1], model.get_layer("y")):
        kernel, bias = layer.get_weights()
        kernel[..., 0] *= 1e-10
        bias[0] = 0.8
        layer.set_weights([kernel, bias])
    result = kv.tflite.export(model, tmp_path / "m", quantization=quantization, calibration_data=X)
    assert result.errors["y"] <= 0.02
