"""The text of C sources: constants."""

import numpy as np

from keras_vrnn.firmware import source
from keras_vrnn.firmware.buffers import Buffer


def test_the_least_int32_has_no_literal():
    """-2147483648 is the negative of a number that int does not hold."""
    text = source.table("int32_t", "numbers", np.array([-(2**31), 5], np.int32))
    assert text == "static const int32_t numbers[2] = {\n    INT32_MIN, 5\n};\n"


def test_bool_constants_are_zero_and_one():
    buffer = Buffer(np.dtype("bool"), 2, "constant", "flags", np.array([True, False]))
    assert source.constant(buffer) == "static const int8_t flags[2] = {\n    1, 0\n};\n"
