"""Loops and variables: the number of turns, what turns leave to the next, and what is refused."""

import firmware
import numpy as np
import pytest
from micro_operators import options
from small_graphs import finished, new_graph

import keras_vrnn as kv
from keras_vrnn.firmware.buffers import Buffer, Counter, View
from keras_vrnn.firmware.control import counted, settled_ends
from keras_vrnn.quantization.formats import Quantization

Q = Quantization(0.5, 0)


def loop_file(path, first, limit, step, body, values):
    """A file whose loop counts from `first` by `step` while it is below `limit`; `body(graph, *values)` is a turn."""
    file, main = new_graph()
    (condition, condition_index), (turn, turn_index) = file.graph("condition"), file.graph("turn")
    shape = values[0].shape

    def counter(graph, name, value=None):
        return graph.tensor(
            name, (1,), np.int32, None, None if value is None else np.array([value], np.int32)
        )

    def tensors(graph):
        return [graph.tensor(f"v{k}", shape, np.int8, Q) for k in range(len(values))]

    t = counter(condition, "t")
    more = condition.tensor("more", (1,), np.bool_)
    condition.operator("LESS", [t, counter(condition, "limit", limit)], [more])
    condition.subgraph.inputs, condition.subgraph.outputs = [t, *tensors(condition)], [more]
    t, following = counter(turn, "t"), counter(turn, "next")
    turn.operator("ADD", [t, counter(turn, "step", step)], [following], options("Add"))
    inside = tensors(turn)
    turn.subgraph.inputs, turn.subgraph.outputs = [t, *inside], [following, *body(turn, *inside)]
    outside, results = tensors(main), tensors(main)
    settings = options("While", condSubgraphIndex=condition_index, bodySubgraphIndex=turn_index)
    main.operator(
        "WHILE", [counter(main, "start", first), *outside], [counter(main, "end"), *results], settings
    )
    path.write_bytes(finished(file, outside, results))


def added(graph, x, y):
    made = graph.tensor("sum", (4,), np.int8, Q)
    graph.operator("ADD", [x, y], [made], options("Add"))
    return made


@pytest.mark.parametrize(("first", "limit", "step", "turns"), [(0, 5, 1, 5), (2, 9, 3, 3), (7, 7, 1, 0)])
def test_values_that_trade_places(first, limit, step, turns, tmp_path):
    """Fibonacci's sequence: (x, y) becomes (y, x + y)."""
    x, y = np.array([1, 0, 2, -1], np.int8), np.array([1, 1, 0, 3], np.int8)
    loop_file(tmp_path / "m.tflite", first, limit, step, lambda g, a, b: [b, added(g, a, b)], [x, y])
    made = firmware.run(tmp_path / "m.tflite", tmp_path, x.tobytes() + y.tobytes(), firmware.gcc())
    for _ in range(turns):
        x, y = y, x + y
    assert made == x.tobytes() + y.tobytes()


def test_values_that_stay(tmp_path):
    x, y = np.array([1, 0, 2, -1], np.int8), np.array([1, 1, 0, 3], np.int8)
    loop_file(tmp_path / "m.tflite", 0, 3, 1, lambda g, a, b: [added(g, a, b), b], [x, y])
    made = firmware.run(tmp_path / "m.tflite", tmp_path, x.tobytes() + y.tobytes(), firmware.gcc())
    assert made == (x + 3 * y).tobytes() + y.tobytes()


def test_a_loop_without_an_end_is_refused(tmp_path):
    loop_file(tmp_path / "m.tflite", 0, 5, 0, lambda g, a, b: [b, a], [np.zeros(4, np.int8)] * 2)
    with pytest.raises(ValueError, match="holds a WHILE of more than"):
        kv.tflite.write_c(tmp_path / "m.tflite", tmp_path)


def test_a_counter_that_something_is_added_to_goes_on():
    made = counted([np.array([10], np.int32), Counter(np.array([1]), np.array([2]))])
    assert made.at(3).tolist() == [17]


class Copies:
    """A tracer that only copies."""

    def __init__(self):
        self.made = []

    def copied(self, view):
        self.made.append(view)
        return View(Buffer(view.dtype, view.size), view.shape)


def test_only_what_would_be_overwritten_is_copied():
    one, other, new = (View(Buffer(np.dtype("int8"), 4), (4,)) for _ in range(3))
    tracer = Copies()
    following = settled_ends(tracer, {"a": (one, other), "b": (other, new), "c": (new, new)})
    assert tracer.made == [other, new]
    assert following["c"] is new
