"""Nodes: what they read, and where a result may lie over what it was computed from."""

import numpy as np

from keras_vrnn.firmware import nodes, terms
from keras_vrnn.firmware.buffers import View, new


def test_a_term_that_is_used_twice_is_one_statement():
    x = terms.read(new((4,), "int8"))
    square = terms.Term("{0} * {0}", (x,))
    node = nodes.Compute(new((4,), "int8").buffer, terms.Term("{0} + {1}", (square, square)), 1, 4)
    assert node.terms() == [x, square, node.term]
    assert node.reads() == [x.view]


def test_a_result_may_lie_over_what_is_read_element_by_element():
    view = new((4,), "int8")
    target = new((4,), "int8").buffer
    for pattern, allowed in (("same", True), ("column", False), ("one", False), ("row", False)):
        node = nodes.Compute(target, terms.read(view, pattern), 1, 4)
        assert node.reads_in_step(view.buffer) is allowed, pattern
    part = nodes.Compute(target, terms.read(View(view.buffer, (2,), 2)), 1, 2)
    assert not part.reads_in_step(view.buffer)


def test_what_turns_read_counts_for_their_loop():
    x, y, held = (new((4,), "int8") for _ in range(3))
    inside = nodes.Compute(y.buffer, terms.read(x), 1, 4)
    loop = nodes.Loop(3, [inside], [nodes.Carry(held, x, y)])
    assert nodes.all_reads(loop) == [x, x]
    assert list(nodes.anything(loop)) == [loop, inside]


def test_strides_of_a_full_array():
    assert nodes.element_strides((2, 5, 3)) == (15, 3, 1)
    assert nodes.element_strides(np.zeros((4, 1, 2)).shape) == (2, 2, 1)
