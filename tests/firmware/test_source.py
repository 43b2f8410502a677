"""The text of C sources: loops, constants and names."""

import numpy as np

from keras_vrnn.firmware import source
from keras_vrnn.firmware.buffers import Buffer, View
from keras_vrnn.firmware.nodes import Move, element_strides
from keras_vrnn.firmware.source import Source


def place(name, size, dtype="int8"):
    return Buffer(np.dtype(dtype), size, "input", name)


def test_the_least_int32_has_no_literal():
    """-2147483648 is the negative of a number that int does not hold."""
    text = source.table("int32_t", "numbers", np.array([-(2**31), 5], np.int32))
    assert text == "static const int32_t numbers[2] = {\n    INT32_MIN, 5\n};\n"


def test_bool_constants_are_zero_and_one():
    buffer = Buffer(np.dtype("bool"), 2, "constant", "flags", np.array([True, False]))
    assert source.constant(buffer) == "static const int8_t flags[2] = {\n    1, 0\n};\n"


def test_a_copy_without_gaps_is_one_statement():
    a, b = (View(place(name, 24), (2, 3, 4)) for name in "ab")
    strides = element_strides((2, 3, 4))
    assert Source(None).move(Move(a, b, (2, 3, 4), strides, strides)) == ["memcpy(b, a, 24);"]


def test_rows_are_copied_by_their_bytes():
    a, b = (View(place(name, 24, "int16"), (2, 3)) for name in "ab")
    lines = Source(None).move(Move(a, b, (2, 3), (12, 1), (3, 1)))
    assert lines == [
        "for (int32_t i = 0; i < 2; ++i) {",
        "    memcpy(b + i * 3, a + i * 12, 6);",
        "}",
    ]


def test_scattered_values_are_copied_one_by_one():
    a, b = (View(place(name, 24), (4,)) for name in "ab")
    lines = Source(None).move(Move(a, b, (4,), (2,), (1,)))
    assert lines == ["for (int32_t i = 0; i < 4; ++i) {", "    *(b + i * 1) = *(a + i * 2);", "}"]


def test_positions_move_with_the_turn():
    writer = Source(None)
    assert writer.at(View(place("a", 24), (4,), 3, 4)) == "(a + 3 + 4 * t)"
    assert writer.at(View(place("a", 24), (4,), 20, -4)) == "(a + 20 - 4 * t)"
    assert writer.at(View(place("a", 24), (24,))) == "a"
