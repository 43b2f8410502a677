"""Which buffers share memory, and that those in use at the same time never overlap."""

from dataclasses import dataclass, field

import numpy as np

from keras_vrnn.firmware import memory, nodes, terms
from keras_vrnn.firmware.buffers import Buffer, View, new


@dataclass
class Parts:
    """What `memory` reads of a program."""

    body: list
    carries: list = field(default_factory=list)
    outputs: list = field(default_factory=list)

    def final_reads(self):
        return [edge.view for edge in self.outputs] + [carry.following for carry in self.carries]


@dataclass
class Edge:
    view: View
    argument: str = "out_y"


def compute(*views, dtype="int8"):
    target = new(views[0].shape, dtype)
    term = terms.Term(" + ".join(f"{{{k}}}" for k in range(len(views))), tuple(map(terms.read, views)))
    return nodes.Compute(target.buffer, term, 1, target.size), target


def held(size=8):
    return View(Buffer(np.dtype("int8"), size, "state", "state_0"), (size,))


def test_a_state_is_updated_in_place_if_nobody_reads_the_old_one_later():
    state, x = held(), new((8,), "int8")
    node, after = compute(state, x)
    program = Parts([node], [nodes.Carry(state, None, after)], [Edge(after)])
    memory.share(program)
    assert after.buffer.memory is state.buffer


def test_a_state_that_is_read_later_is_copied_at_the_end():
    state, x = held(), new((8,), "int8")
    node, after = compute(state, x)
    other, made = compute(after, state)
    program = Parts([node, other], [nodes.Carry(state, None, after)], [Edge(made)])
    memory.share(program)
    assert after.buffer.memory is after.buffer
    # The old state is an output.
    program = Parts([node], [nodes.Carry(state, None, after)], [Edge(state)])
    memory.share(program)
    assert after.buffer.memory is after.buffer


def test_two_states_that_trade_places_are_not_updated_in_place():
    one, other = held(), held()
    node, after = compute(one, other)
    carries = [nodes.Carry(one, None, after), nodes.Carry(other, None, one)]
    memory.share(Parts([node], carries))
    assert after.buffer.memory is after.buffer


def test_an_output_is_computed_where_the_caller_wants_it():
    x = held()
    node, made = compute(x)
    memory.share(Parts([node], [], [Edge(made)]))
    assert (made.buffer.place, made.buffer.name) == ("output", "out_y")


def test_values_in_use_at_the_same_time_do_not_overlap():
    x = held()
    first, a = compute(x)
    second, b = compute(x)
    third, c = compute(a, b)
    fourth, d = compute(c)
    program = Parts([first, second, third, fourth], [], [Edge(d)])
    sizes = memory.plan(program)
    assert a.buffer.offset != b.buffer.offset
    assert c.buffer.offset not in (a.buffer.offset, b.buffer.offset)
    assert d.buffer.offset != c.buffer.offset
    assert sizes[np.dtype("int8")] == 3 * 8 + 7  # and what kernels may read beyond the end


def test_values_of_a_turn_do_not_overlap_with_what_the_loop_reads():
    x, start = held(), held()
    outer, z = compute(x)
    carried = new((8,), "int8")
    first, a = compute(carried, z)
    second, b = compute(a)
    loop = nodes.Loop(5, [first, second], [nodes.Carry(carried, start, b)])
    last, y = compute(carried, z)
    memory.plan(Parts([outer, loop, last], [], [Edge(y)]))
    spans = [z.buffer.offset, carried.buffer.offset, a.buffer.offset]
    assert len(set(spans)) == 3
    assert b.buffer.offset not in (z.buffer.offset, carried.buffer.offset)


def test_types_have_memory_of_their_own():
    x = held()
    first, a = compute(x, dtype="int16")
    second, b = compute(a, dtype="int8")
    sizes = memory.plan(Parts([first, second], [], [Edge(b)]))
    assert set(sizes) == {np.dtype("int8"), np.dtype("int16")}
    assert a.buffer.offset == b.buffer.offset == 0
