"""A WHILE loop that adds up its steps."""

import numpy as np
import pytest
from small_graphs import finished, new_graph, run

from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.loop import Loop


def sums(start, step, comparison, limit):
    """Loops t, and returns Σ x + t, and t itself, behind the loop."""
    file, main = new_graph()
    x = main.tensor("x", (1,), np.int32)
    loop = Loop(file, main, "loop")
    t = loop.count("t", [start], [step])
    kept = loop.carry("x", x)
    total = loop.carry("total", main.constant("zero", np.zeros(1, np.int32)))
    added = op.add(loop.body, "added", total, kept, None)
    loop.set(total, op.add(loop.body, "sum", added, t, None))
    results = loop.close(comparison, limit)
    return finished(file, [x], [results[total], results[t]])


@pytest.mark.parametrize(
    ("start", "step", "comparison", "limit", "steps"),
    [
        (0, 1, "LESS", 5, range(5)),
        (0, 2, "LESS", 6, range(0, 6, 2)),
        (4, -1, "GREATER_EQUAL", 0, range(4, -1, -1)),
        (7, 1, "LESS", 5, range(0)),
    ],
)
def test_a_loop_runs_while_the_comparison_holds(start, step, comparison, limit, steps):
    total, t = run(sums(start, step, comparison, limit), [10])
    assert total[0] == sum(10 + t for t in steps)
    assert t[0] == start + step * len(steps)


def test_the_size_does_not_depend_on_the_steps():
    assert len(sums(0, 1, "LESS", 5)) == len(sums(0, 1, "LESS", 5000))
