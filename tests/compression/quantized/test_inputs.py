"""The input of a quantization-aware model against the integers that the runner passes to a file."""

import keras
import numpy as np
import pytest

from keras_vrnn.quantization.schemes import SCHEMES

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

X = np.random.default_rng(0).normal(size=(20, 5, 3)).astype("float32")


def calibrated(scheme, x=X):
    from keras_vrnn.compression.quantized import signals
    from keras_vrnn.compression.quantized.inputs import QuantizedInput

    layer = QuantizedInput(scheme=scheme)
    with signals.calibrating():
        np.testing.assert_array_equal(layer(x), x)
    return layer


@pytest.mark.parametrize("scheme", ["int8", "int8x4", "int16x8"])
def test_values_are_rounded_to_the_nearest_integer_and_clipped(scheme):
    from keras_vrnn.compression.quantized import signals

    layer = calibrated(scheme)
    x = layer(3 * X)
    form = signals.plain(signals.format_of(x, layer))
    limits = np.iinfo(SCHEMES[scheme].dtype)
    integers = np.clip(np.round(3 * X / np.float32(form.scale)) + form.zero_point, limits.min, limits.max)
    expected = (integers - form.zero_point).astype("float32") * np.float32(form.scale)
    np.testing.assert_array_equal(x, expected)


def test_ranges_move_in_training_alone():
    layer = calibrated("int8")
    before = np.array(layer.signals._variable)
    layer(3 * X)
    np.testing.assert_array_equal(layer.signals._variable, before)
    layer(3 * X, training=True)
    np.testing.assert_allclose(layer.signals._variable, before * (0.99 + 0.01 * 3), rtol=1e-6)


def test_configuration():
    from keras_vrnn.compression.quantized.inputs import QuantizedInput

    layer = calibrated("int16x8")
    again = QuantizedInput.from_config(layer.get_config())
    assert again.scheme == "int16x8"
    assert again.compute_output_shape((2, 3)) == (2, 3)
