"""Checks of token arrays."""

import numpy as np
import pytest

from keras_vrnn.models import token_checks


def test_right_arrays_become_int32():
    ids = token_checks.tokens("source", [[3.0, 4.0], [5.0, 0.0]], 9)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, [[3, 4], [5, 0]])
    assert token_checks.special_tokens(np.int64(1), 2, 9) == (1, 2)


@pytest.mark.parametrize(
    ("value", "length", "message"),
    [
        ([[3, 4], [5]], None, r"`t` must be one array\. Received: rows of several lengths\. Pad"),
        ([3, 4], None, r"`t` must hold token ids of shape \(samples, steps\).*Received: shape \(2,\)"),
        (np.zeros((0, 3), int), None, r"at least one sample and one step\. Received: shape \(0, 3\)"),
        ([[True]], None, r"Received: shape \(1, 1\), dtype bool"),
        ([[1.5]], None, r"`t` must hold integers\. Received: fractions or NaN\."),
        ([[3, 4]], 3, r"`t` must have 3 steps, as when the model was built\. Received: shape \(1, 2\)\. Pad"),
        ([[3, 9]], None, r"`t` must hold token ids in 0 … 8\. Received: 9 in row 0, step 1\."),
        ([[3], [0]], None, r"Received: row 1, which is empty: only padding\. Remove"),
        ([[0, 3]], None, r"Received: row 0, which starts with padding\. Put padding at the end\."),
        ([[3, 0, 3]], None, r"`t` must be padded at the end only\. Received: row 0"),
    ],
)
def test_wrong_arrays(value, length, message):
    with pytest.raises(ValueError, match=message):
        token_checks.tokens("t", value, 9, length)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (0, 2, r"`start` must be a token id in 1 … 8 .*Received: start=0\."),
        (1, 9, r"`end` must be a token id in 1 … 8 .*Received: end=9\."),
        (True, 2, r"`start` must be a token id"),
        (1, "2", r"`end` must be a token id"),
        (2, 2, r"`end` must differ from `start`\. Received: end=2\."),
    ],
)
def test_wrong_special_tokens(start, end, message):
    with pytest.raises(ValueError, match=message):
        token_checks.special_tokens(start, end, 9)
