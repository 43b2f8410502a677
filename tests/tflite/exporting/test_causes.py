"""Each likely cause that the accuracy gate names, provoked on purpose."""

import keras
import numpy as np
import pytest
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.check import AccuracyWarning

X = random_data(48, 12, 4)


def masked(value=0.0):
    inputs = keras.Input((12, 4), name="x")
    h = kv.VanillaRNN(8)(layers.Masking(value)(inputs))
    return randomize(keras.Model(inputs, layers.Dense(3, name="y")(h)))


def small_steps():
    rng = np.random.default_rng(0)
    x = X * np.where(rng.random((48, 12, 1)) < 0.5, 1e-3, 1.0)
    return np.where(np.arange(12)[None, :, None] < rng.integers(4, 13, (48, 1, 1)), x, 0.0).astype("float32")


def test_steps_that_rounding_masks(tmp_path):
    with pytest.raises(
        ValueError, match=r"% of the unmasked steps of input 'x' are rounded to 0.*io='float32'"
    ):
        kv.tflite.export(masked(), tmp_path / "m", calibration_data=small_steps(), max_error=0.05)


@pytest.mark.parametrize("remedy", [dict(io="float32"), dict(quantization="int16x8")])
def test_its_remedies_work(remedy, tmp_path):
    result = kv.tflite.export(masked(), tmp_path / "m", calibration_data=small_steps(), **remedy)
    assert result.errors["y"] < 0.02


def test_outliers_in_the_data(tmp_path):
    inputs = keras.Input((12, 4), name="x")
    model = randomize(keras.Model(inputs, kv.VanillaRNN(8)(inputs)))
    x = X.copy()
    x[0, 0, 0] = 3000.0
    with pytest.warns(AccuracyWarning, match="the range of input 'x'.*is set by few values.*'percentile'"):
        kv.tflite.export(model, tmp_path / "m", calibration_data=x, max_error=1.0)


def test_an_output_that_varies_by_a_few_steps(tmp_path):
    inputs = keras.Input((12, 4), name="x")
    model = keras.Model(
        inputs, kv.VanillaRNN(8, kernel_initializer=keras.initializers.RandomNormal(0, 1e-3))(inputs)
    )
    with pytest.warns(AccuracyWarning, match="steps of its format: scale it up"):
        kv.tflite.export(model, tmp_path / "m", calibration_data=X, max_error=1.0)


def test_data_of_another_size_than_the_activation_resolves(tmp_path):
    inputs = keras.Input((12, 4), name="x")
    model = randomize(keras.Model(inputs, kv.VanillaRNN(8)(inputs)))
    x = (1e5 * X * (X > 0.5)).astype("float32")  # mostly zero, where the bias decides
    with pytest.warns(AccuracyWarning, match="scale it to about 1"):
        kv.tflite.export(model, tmp_path / "m", calibration_data=x, max_error=1.0)


def test_units_that_share_a_scale(tmp_path):
    inputs = keras.Input((12, 4), name="x")
    layer = kv.VanillaRNN(8, activation="linear")
    model = keras.Model(inputs, layers.Dense(2)(layer(inputs)[:, 1:]))
    kernel, recurrent_kernel, bias = layer.get_weights()
    kernel[:, 0] *= 500.0
    layer.set_weights([kernel, 0.5 * recurrent_kernel * (np.eye(8) > 0), bias])
    with pytest.warns(AccuracyWarning, match="the input product of unit 0 reaches"):
        kv.tflite.export(model, tmp_path / "m", calibration_data=X, max_error=1.0)


def test_units_that_four_bits_lose(tmp_path):
    inputs = keras.Input((12, 4), name="x")
    model = randomize(keras.Model(inputs, kv.VanillaRNN(8, name="memory")(inputs)))
    layer = model.get_layer("memory")
    kernel, recurrent, bias = layer.get_weights()
    recurrent[:, 3] *= 80
    layer.set_weights([kernel, recurrent, bias])
    with pytest.warns(AccuracyWarning) as caught:
        kv.tflite.export(model, tmp_path / "m", quantization="int8x4", calibration_data=X, max_error=9.0)
    text = str(caught[0].message)
    assert "in layer 'memory' all 4-bit weights of 7 units' recurrent_kernel are zero" in text
    assert "unit 3 has far larger weights" in text
    assert "kv.compression.quantize_aware(model, weight_bits=4)" in text
