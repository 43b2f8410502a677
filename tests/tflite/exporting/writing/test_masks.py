"""Masks in integer files: the value of masked steps beside the data's own range."""

import keras
import numpy as np
import pytest
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv

X = random_data(40, 12, 4)
LENGTHS = np.random.default_rng(0).integers(3, 13, (40, 1, 1))
UNIT = np.random.default_rng(1).random((40, 12, 4))


def masked(value, x):
    x = np.where(np.arange(12)[None, :, None] < LENGTHS, x, value).astype("float32")
    inputs = keras.Input((12, 4), name="x")
    h = kv.VanillaRNN(8)(layers.Masking(value)(inputs))
    return randomize(keras.Model(inputs, layers.Dense(3, name="y")(h))), x


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("form", ["sequence", "streaming"])
@pytest.mark.parametrize(
    ("value", "x"),
    [(-999.0, X), (999.0, X), (-1e9, X), (-1.0, X), (-1.0, UNIT), (-0.001, UNIT), (2.0, 5 + UNIT)],
    ids=[
        "-999",
        "999",
        "-1e9",
        "-1 among the data",
        "-1 below the data",
        "-0.001",
        "2 between 0 and the data",
    ],
)
def test_the_value_of_masked_steps_costs_no_accuracy(value, x, form, quantization, tmp_path):
    model, x = masked(value, x)
    result = kv.tflite.export(model, tmp_path / "m", form=form, quantization=quantization, calibration_data=x)
    # As without a mask; at −999 the padding once stretched the scale to 8 per step (0.5).
    assert result.errors["y"] <= 0.02


def test_float_inputs_are_compared_before_they_are_quantized(tmp_path):
    model, x = masked(0.0, X)
    x = np.where(np.random.default_rng(2).random((40, 12, 1)) < 0.5, 1e-3 * x, x).astype("float32")
    for form in ("sequence", "streaming"):
        options = dict(form=form, io="float32", calibration_data=x, overwrite=True)
        assert kv.tflite.export(model, tmp_path / "m", **options).errors["y"] <= 0.02


def test_data_without_any_masked_step(tmp_path):
    model, _ = masked(-5.0, X)
    assert kv.tflite.export(model, tmp_path / "m", calibration_data=X).errors["y"] <= 0.02


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("size", [1e-9, 1e-3, 1e5, 1e12])
def test_masks_of_data_of_any_size(size, quantization, tmp_path):
    model, x = masked(0.0, X)
    layer = model.layers[2]
    kernel, *others = layer.get_weights()
    layer.set_weights([kernel / size, *others])
    x = np.float32(size) * x
    result = kv.tflite.export(model, tmp_path / "m", quantization=quantization, calibration_data=x)
    # LiteRT's int8 comparison multiplies by the scale: with a tiny one all steps counted as masked (0.64).
    assert result.errors["y"] <= 0.02
