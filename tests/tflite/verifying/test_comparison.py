"""The measures of one output, against measures computed by hand."""

import numpy as np
import pytest

from keras_vrnn.tflite.verifying.comparison import compare, saturated
from keras_vrnn.tflite.verifying.truth import Truth

INT8 = {"dtype": np.int8, "quantization": (0.5, 0)}
FLOAT = {"dtype": np.float32, "quantization": (0.0, 0)}


def test_errors_and_steps():
    found = compare(np.array([[1.0, 2.0]]), np.array([[1.5, 2.0]]), INT8)
    assert (found.max_error, found.mean_error, found.max_steps, found.mean_steps) == (0.5, 0.25, 1.0, 0.5)
    assert (found.agreement, found.accuracy, found.mae, found.error_over_time) == (1.0, None, None, None)
    found = compare(np.array([[1.0, 2.0]]), np.array([[1.5, 2.0]]), FLOAT)
    assert (found.scale, found.max_steps, found.saturated) == (None, None, None)


def test_labels_and_targets():
    actual, expected = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 1.0]])
    found = compare(actual, expected, FLOAT, Truth(labels=np.array([1, 1])))
    assert (found.accuracy, found.accuracy_keras, found.agreement) == (0.5, 1.0, 0.5)
    found = compare(actual, expected, FLOAT, Truth(targets=expected))
    assert (found.mae, found.mae_keras, found.rmse_keras) == (0.5, 0.0, 0.0)
    assert found.rmse == pytest.approx(np.sqrt(0.5))


def test_error_over_time():
    actual = np.zeros((2, 3, 4))
    actual[:, 2] = 1.0
    found = compare(actual, np.zeros((2, 3, 4)), FLOAT)
    assert found.error_over_time == (0.0, 0.0, 1.0)


def test_saturation_at_both_ends():
    assert saturated(np.array([-64.0, -63.5, 0.0, 63.5, 100.0]), INT8) == 3
    # int16 is symmetric: -32767 is its lowest number.
    int16 = {"dtype": np.int16, "quantization": (1.0, 0)}
    assert saturated(np.array([-32767.0, -32766.0, 32767.0]), int16) == 2
