"""Operators that move values in C: every integer against TFLite Micro or the simulation."""

import firmware
import numpy as np
import pytest
from micro_operators import Draws, options

from keras_vrnn.tflite.micro.interpreter import is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
X = (2, 5, 3)


def integers(*values):
    return np.array(values, np.int32), None, True


CASES = {
    "STRIDED_SLICE": (
        [integers(0, 4, 0), integers(2, 0, 3), integers(1, -2, 1)],
        (2, 2, 3),
        ("StridedSlice", {"beginMask": 1}),
    ),
    "SLICE": ([integers(0, 1, 0), integers(2, -1, 2)], (2, 4, 2), None),
    "PAD": ([(np.array([[0, 0], [1, 2], [0, 1]], np.int32), None, True)], (2, 8, 4), None),
    "TRANSPOSE": ([integers(2, 0, 1)], (3, 2, 5), None),
    "REVERSE_V2": ([integers(1)], X, None),
    "BROADCAST_TO": ([integers(4, 2, 5, 3)], (4, 2, 5, 3), None),
    "RESHAPE": ([integers(3, 10)], (3, 10), None),
    "EXPAND_DIMS": ([integers(1)], (2, 1, 5, 3), None),
}


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("name", CASES)
def test_movements(name, dtype, tmp_path):
    others, shape, settings = CASES[name]
    draws = Draws(1, dtype)
    q, settings = draws.format(), options(settings[0], **settings[1]) if settings else None
    inputs = [(draws.values(*X), q), *others]
    firmware.assert_operator(tmp_path, name, inputs, shape, dtype, q, settings)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_concatenation(axis, dtype, tmp_path):
    draws = Draws(1, dtype)
    q, shape = draws.format(), list(X)
    shape[axis] *= 2
    inputs = [(draws.values(*X), q), (draws.values(*X), q)]
    settings = options("Concatenation", axis=axis)
    firmware.assert_operator(tmp_path, "CONCATENATION", inputs, tuple(shape), dtype, q, settings)
