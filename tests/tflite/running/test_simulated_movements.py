"""Operators that move values: every integer against TFLite Micro, and what indices out of range give."""

import numpy as np
import pytest
from micro_operators import Draws, assert_equal, both, options

from keras_vrnn.tflite.micro.interpreter import is_installed

micro = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
X = (2, 5, 3)


def integers(*values):
    return np.array(values, np.int32), None, True


# name: (operator, its other inputs, shape of the result, options, types)
CASES = {
    "STRIDED_SLICE": (
        "STRIDED_SLICE",
        [integers(0, 4, 0), integers(2, 0, 3), integers(1, -2, 1)],
        (2, 2, 3),
        ("StridedSlice", {"beginMask": 1}),
    ),
    "STRIDED_SLICE to the end": (
        "STRIDED_SLICE",
        [integers(0, 1, -3), integers(9, 1, 2), integers(1, 2, 1)],
        (2, 2, 2),
        ("StridedSlice", {"endMask": 2}),
    ),
    "STRIDED_SLICE of one": (
        "STRIDED_SLICE",
        [integers(0, -1, 0), integers(2, 0, 3), integers(1, 1, 1)],
        (2, 3),
        ("StridedSlice", {"shrinkAxisMask": 2}),
    ),
    "SLICE": ("SLICE", [integers(0, 1, 0), integers(2, -1, 2)], (2, 4, 2), None),
    "PAD": ("PAD", [(np.array([[0, 0], [1, 2], [0, 1]], np.int32), None, True)], (2, 8, 4), None),
    "TRANSPOSE": ("TRANSPOSE", [integers(2, 0, 1)], (3, 2, 5), None),
    "REVERSE_V2": ("REVERSE_V2", [integers(1)], X, None),
    "BROADCAST_TO": ("BROADCAST_TO", [integers(4, 2, 5, 3)], (4, 2, 5, 3), None),
    "EXPAND_DIMS": ("EXPAND_DIMS", [integers(1)], (2, 1, 5, 3), None),
    "RESHAPE": ("RESHAPE", [integers(3, 10)], (3, 10), None),
    "SQUEEZE": ("SQUEEZE", [], X, None),
}


@micro
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("case", CASES)
def test_movements(case, dtype, tmp_path):
    name, others, shape, settings = CASES[case]
    draws = Draws(1, dtype)
    q, settings = draws.format(), options(settings[0], **settings[1]) if settings else None
    assert_equal(tmp_path / "m", name, [(draws.values(*X), q), *others], shape, dtype, q, settings)


@micro
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_a_border_of_one_value(dtype, tmp_path):
    draws = Draws(4, dtype)
    q, border = draws.format(), integers(0, 0, 2, 1, 0, 0)[0].reshape(3, 2)
    inputs = [(draws.values(*X), q), (border, None, True), (draws.values(1), q, True)]
    assert_equal(tmp_path / "m", "PADV2", inputs, (2, 8, 3), dtype, q, options("PadV2"))


@micro
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_parts_side_by_side(dtype, tmp_path):
    draws = Draws(5, dtype)
    q = draws.format()
    x, y, chosen = draws.values(*X), draws.values(*X), draws.rng.integers(0, 2, (2, 5, 1)).astype(bool)
    inputs = [(x, q), (y, q)]
    joined = options("Concatenation", axis=-1)
    assert_equal(tmp_path / "m", "CONCATENATION", inputs, (2, 5, 6), dtype, q, joined)
    stacked = options("Pack", axis=1, valuesCount=2)
    assert_equal(tmp_path / "m", "PACK", inputs, (2, 2, 5, 3), dtype, q, stacked)
    assert_equal(tmp_path / "m", "SELECT_V2", [(chosen, None), *inputs], X, dtype, q)
    if dtype == "int8":  # the only type of the kernel
        assert_equal(tmp_path / "m", "ZEROS_LIKE", [(x, q)], X, dtype, q)


@micro
def test_a_table_is_read_by_row(tmp_path):
    draws = Draws(2, "int8")
    table, q = (draws.weights(7, 4), draws.format(), True), draws.format()
    for ids in (np.array([[6, 0, 3]], np.int32), np.zeros((2, 5), np.int32)):
        inputs = [(table[0], q, True), (ids, None)]
        shape = (*ids.shape, 4)
        assert_equal(tmp_path / "m", "GATHER", inputs, shape, "int8", q, options("Gather", axis=0))


@micro
def test_rows_of_a_batch(tmp_path):
    draws = Draws(3, "int8")
    q, settings = draws.format(), options("Gather", axis=1, batchDims=1)
    inputs = [(draws.values(2, 5, 3), q), (np.array([[4, 0], [1, 1]], np.int32), None)]
    assert_equal(tmp_path / "m", "GATHER", inputs, (2, 2, 3), "int8", q, settings)


@micro
@pytest.mark.parametrize("row", [-1, 7])
def test_rows_that_a_table_does_not_have(row, tmp_path):
    """The kernel would read other memory."""
    draws = Draws(2, "int8")
    q = draws.format()
    inputs = [(draws.weights(7, 4), q, True), (np.array([[0, row]], np.int32), None)]
    with pytest.raises(
        ValueError, match=f"must hold integers from 0 to 6 .* Received: {min(row, 0)} to {max(row, 0)}"
    ):
        both(tmp_path / "m", "GATHER", inputs, (1, 2, 4), "int8", q, options("Gather", axis=0))
