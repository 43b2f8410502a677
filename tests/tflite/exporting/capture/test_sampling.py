"""Samples for the stock converter: every value that the float model makes, and the ends of fixed ranges."""

import keras
import numpy as np
import pytest
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization, affine_int8
from keras_vrnn.tflite.exporting.capture import sampling
from keras_vrnn.tflite.exporting.conversion import _partition
from keras_vrnn.tflite.exporting.options import Options

X = random_data(5, 6, 4)


def calibrated(x, form="sequence", calibration="minmax", front=None):
    """The recurrent layer, the samples by name, and the formats, for int8 and batches of 2."""
    inputs = keras.Input(x.shape[1:], name="x")
    layer = kv.VanillaRNN(3, name="a")
    h = layer(front(inputs) if front else inputs)
    model = randomize(keras.Model(inputs, layers.Dense(2, name="y")(h)))
    options = Options(form, "int8", None, "explicit", 2, calibration, 1.0)
    parts, _ = _partition(model, options, [x])
    samples, formats_of, value_formats = sampling.calibrated(model, options, parts, [x])
    named = [dict(zip(parts.stock_inputs, sample, strict=True)) for sample in samples()]
    return layer, named, formats_of, value_formats


def test_samples_are_batches_of_what_keras_computes():
    layer, samples, _, _ = calibrated(X)
    expected = keras.ops.convert_to_numpy(layer(X))
    *batches, lowest, highest = [sample["a_0/final"] for sample in samples]
    for batch, rows in zip(batches, ([0, 1], [2, 3], [4, 0]), strict=True):  # filled up from the first row
        np.testing.assert_allclose(batch, expected[rows], atol=1e-6)  # float32 over six steps
    # The ends of the format that TFLite's TANH has: 1/128 times -128 and 127.
    assert (lowest.min(), highest.max()) == (-1, 127 / 128)
    assert lowest.shape == highest.shape == (2, 3)


def test_formats_are_those_of_the_kernels_and_the_data():
    _, _, formats_of, value_formats = calibrated(X)
    assert formats_of["a_0"].signal("h") == value_formats["a_0/final"] == Quantization(1 / 128, 0)
    assert value_formats["x"] == affine_int8(X.min(), X.max())


def test_in_streaming_every_step_is_a_sample():
    layer, samples, _, _ = calibrated(X, "streaming")
    (name,) = samples[0]
    made = np.concatenate([sample[name] for sample in samples[:-2]])
    whole = keras.layers.RNN(layer.cell, return_sequences=True)
    expected = keras.ops.convert_to_numpy(whole(X)).reshape(30, 3)
    np.testing.assert_allclose(made.reshape(30, 3), expected, atol=1e-6)  # float32 over six steps


@pytest.mark.parametrize("mark", [-1000.0, 1000.0])
def test_a_far_value_of_masked_steps_does_not_stretch_the_samples(mark):
    x = X.copy()
    x[:, 4:] = mark
    front = lambda t: layers.Dense(5)(layers.Masking(mark)(t))  # noqa: E731
    _, samples, _, value_formats = calibrated(x, front=front)
    real, taken = X[:, :4], np.concatenate([sample["x"] for sample in samples])
    width = real.max() - real.min()
    # Zero is exact, which moves the range by up to half a step of 255.
    half = width / 510
    assert real.min() - 0.2 * width <= taken.min() <= real.min() + half
    assert real.max() - half <= taken.max() <= real.max() + 0.2 * width
    assert value_formats["x"].scale <= 1.2 * width / 255


def test_percentiles_leave_an_outlier_out():
    x = random_data(40, 6, 4)
    x[7, 2, 1] = 1e4
    scales = {method: calibrated(x, calibration=method)[3]["x"].scale for method in ("minmax", "percentile")}
    assert scales["minmax"] == pytest.approx((1e4 - x.min()) / 255)
    # The next largest value, and almost the smallest.
    assert scales["percentile"] <= (np.sort(x.ravel())[-2] - x.min()) / 255
