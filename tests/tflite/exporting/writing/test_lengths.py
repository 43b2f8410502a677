"""The input for the number of steps, and the positions that follow from it."""

import numpy as np
import pytest
from small_graphs import finished, new_graph, run

from keras_vrnn.tflite.exporting.writing import lengths


@pytest.mark.parametrize(("given", "steps"), [(1, 1), (5, 5), (6, 5), (2**30, 5)])
def test_a_loop_runs_at_most_as_many_steps_as_its_tensors_hold(given, steps):
    file, main = new_graph()
    length = lengths.add_input(main)
    content = finished(file, [length], [lengths.at_most(main, length, 5)])
    assert run(content, np.array([given]))[0].tolist() == [steps]


@pytest.mark.parametrize("axis", [[1], [0, 1, 0]])
def test_the_last_step(axis):
    file, main = new_graph()
    length = lengths.add_input(main)
    content = finished(file, [length], [lengths.last(main, length, axis)])
    assert run(content, np.array([7]))[0].tolist() == [6 * each for each in axis]
