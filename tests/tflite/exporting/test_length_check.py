"""The check that nothing after the last step reaches an output."""

import numpy as np
import pytest
from small_graphs import new_graph

from keras_vrnn.tflite.exporting import length_check
from keras_vrnn.tflite.exporting.writing import edges, metadata, unused
from keras_vrnn.tflite.exporting.writing import operators as op


class Parts:
    """What the check reads of a `Partition`."""

    timed = frozenset({"x", "y"})
    timesteps = 6

    def __init__(self):
        self.inputs, self.outputs = {"x": None}, {"y": "y"}


def file_of(tmp_path, build):
    """A file for up to six steps with the output `build(graph, x)`."""
    file, main = new_graph()
    x, length = main.tensor("x", (1, 6, 2), np.float32), main.tensor("length", (1,), np.int32)
    y = build(main, x)
    main.subgraph.inputs, main.subgraph.outputs = [x, length], [y]
    edges.sign(file, "serving_default", 0, {"x": x, "length": length}, {"y": y})
    metadata.write(file, ["x", "y"])
    unused.remove(file)
    path = tmp_path / "m.tflite"
    path.write_bytes(file.pack())
    return path


def test_inputs_get_shorter():
    x = np.arange(12.0).reshape(1, 6, 2)
    assert [each[0].shape for each in length_check.shorter([x], Parts())] == [(1, 1, 2), (1, 3, 2)]


@pytest.mark.parametrize("x", [np.zeros((1, 3, 2)), np.ones((1, 3, 2))])
def test_what_reads_only_its_own_step_passes(x, tmp_path):
    path = file_of(tmp_path, lambda main, x: op.add(main, "y", x, x, None))
    length_check.check_filling(path, [x], Parts())


@pytest.mark.parametrize("x", [np.zeros((1, 3, 2)), np.ones((1, 3, 2))])
def test_what_reads_later_steps_is_refused(x, tmp_path):
    path = file_of(tmp_path, lambda main, x: op.reverse(main, "y", x))
    with pytest.raises(ValueError, match=r"output 'y' depends on what follows the last step"):
        length_check.check_filling(path, [x], Parts())
