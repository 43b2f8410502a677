"""Weights of four bits at the start of their training."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.compression.quantized import compensation
from keras_vrnn.quantization.rounding import compensated
from keras_vrnn.quantization.schemes import SCHEMES

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

RNG = np.random.default_rng(0)
FOUR_BIT = SCHEMES["int8x4"]


def rounded(kernel):
    rows = kernel.T.astype(np.float64)
    return compensated(rows, FOUR_BIT.weight_scales(rows), FOUR_BIT.largest_weight)


def test_rounding_to_nearest_gives_the_compensated_integers():
    x = RNG.normal(size=(500, 5)) @ RNG.normal(size=(5, 24)) + 0.1 * RNG.normal(size=(500, 24))
    kernel = RNG.normal(size=(24, 16)).astype("float32")
    kernel[RNG.random(kernel.shape) < 0.3] = 0.0
    kernel[0, 0] = 9.0  # beyond the largest integer
    moment = len(x), x.T @ x
    scale = FOUR_BIT.weight_scales(kernel.T.astype(np.float64))
    made = compensation.start(kernel, moment, FOUR_BIT)
    np.testing.assert_allclose(FOUR_BIT.weight_scales(made.T.astype(np.float64)), scale, rtol=1e-6)
    expected = compensated(kernel.T.astype(np.float64), scale, FOUR_BIT.largest_weight, moment)
    np.testing.assert_array_equal(rounded(made), expected)
    assert np.any(rounded(made) != rounded(kernel))
    np.testing.assert_array_equal(made[kernel == 0.0], 0.0)


@pytest.mark.parametrize("kernel", [np.zeros((3, 2)), np.ones((3, 2))])
def test_weights_that_compensation_does_not_help_stay(kernel):
    kernel = kernel.astype("float32")
    np.testing.assert_array_equal(compensation.start(kernel, (10, 10 * np.eye(3)), FOUR_BIT), kernel)


def test_training_starts_as_near_to_the_float_model_as_a_calibrated_file(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((20, 6))
    h = kv.Bidirectional(kv.VanillaRNN(24))(inputs)
    model = kv.Model(inputs, keras.layers.Dense(4)(h))
    x = np.cumsum(RNG.normal(size=(100, 20, 2)), axis=1) @ RNG.normal(size=(2, 6)) / 4
    x = (x + 0.1 * RNG.normal(size=x.shape)).astype("float32")
    kv.tflite.export(model, tmp_path / "m.tflite", quantization="int8x4", calibration_data=x, max_error=9)
    aware = kv.compression.quantize_aware(model, weight_bits=4, calibration_data=x)

    def distance(y):
        return np.sqrt(np.mean((y - np.array(model(x))) ** 2))

    calibrated = distance(kv.tflite.simulate(tmp_path / "m.tflite", x))
    assert distance(np.array(aware(x))) < 1.1 * calibrated  # its ranges of signals differ
