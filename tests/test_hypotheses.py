"""What decoding returns, and the length penalty, which Keras and the device share."""

import numpy as np
import pytest

from keras_vrnn.hypotheses import Hypotheses, length_penalty


def test_best_is_the_first_of_each_source():
    tokens = np.arange(12).reshape(2, 3, 2)
    found = Hypotheses(tokens, np.ones((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(found.best, [[0, 1], [6, 7]])


@pytest.mark.parametrize(
    ("length", "exponent", "expected"), [(1, 2.0, 1), (7, 0.0, 1), (7, 1.0, 2), (19, 0.5, 2)]
)
def test_length_penalty_by_hand(length, exponent, expected):
    assert length_penalty(length, exponent) == expected


def test_length_penalty_of_arrays_and_tensors():
    import tensorflow as tf

    lengths = np.array([[1, 7], [19, 4]])
    in_numpy, in_tensorflow = (length_penalty(x, 0.6) for x in (lengths, tf.cast(lengths, tf.float32)))
    np.testing.assert_allclose(in_tensorflow, in_numpy, rtol=1e-6)  # float32
