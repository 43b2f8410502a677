"""The types that capture hands to writing."""

import numpy as np
import pytest

from keras_vrnn.tflite.exporting.parts import Mask, Partition

TOKENS = np.array([[3, 0, 1], [0, 0, 2]])
FEATURES = np.array([[[0, -1], [-1, -1], [2, 5]]])


@pytest.mark.parametrize(
    ("mask", "source", "expected"),
    [
        (Mask("x", 0.0), TOKENS, [[1, 0, 1], [0, 0, 1]]),
        (Mask("x", 0.0, backwards=True), TOKENS, [[1, 0, 1], [1, 0, 0]]),
        (Mask("x", -1.0), FEATURES, [[1, 0, 1]]),
        (Mask("x", 2.0), FEATURES[..., :1], [[1, 1, 0]]),
    ],
)
def test_the_mask_of_an_array(mask, source, expected):
    np.testing.assert_array_equal(mask.of(source), np.array(expected, bool))


def test_a_partition_without_more_has_neither_constants_nor_states():
    parts = Partition({}, {}, {}, {}, [], None, [], [])
    assert (parts.constants, parts.states) == ({}, {})
