"""Nodes as C statements: copies and positions."""

import numpy as np

from keras_vrnn.firmware.buffers import Buffer, View
from keras_vrnn.firmware.nodes import Move, element_strides
from keras_vrnn.firmware.statements import Statements


def place(name, size, dtype="int8"):
    return Buffer(np.dtype(dtype), size, "input", name)


def test_a_copy_without_gaps_is_one_statement():
    a, b = (View(place(name, 24), (2, 3, 4)) for name in "ab")
    strides = element_strides((2, 3, 4))
    assert Statements(None).move(Move(a, b, (2, 3, 4), strides, strides)) == ["memcpy(b, a, 24);"]


def test_rows_are_copied_by_their_bytes():
    a, b = (View(place(name, 24, "int16"), (2, 3)) for name in "ab")
    lines = Statements(None).move(Move(a, b, (2, 3), (12, 1), (3, 1)))
    assert lines == [
        "for (int32_t i = 0; i < 2; ++i) {",
        "    memcpy(b + i * 3, a + i * 12, 6);",
        "}",
    ]


def test_scattered_values_are_copied_one_by_one():
    a, b = (View(place(name, 24), (4,)) for name in "ab")
    lines = Statements(None).move(Move(a, b, (4,), (2,), (1,)))
    assert lines == ["for (int32_t i = 0; i < 4; ++i) {", "    *(b + i * 1) = *(a + i * 2);", "}"]


def test_positions_move_with_the_turn():
    writer = Statements(None)
    assert writer.at(View(place("a", 24), (4,), 3, 4)) == "(a + 3 + 4 * t)"
    assert writer.at(View(place("a", 24), (4,), 20, -4)) == "(a + 20 - 4 * t)"
    assert writer.at(View(place("a", 24), (24,))) == "a"
