"""The oldest runtime of a file, found from its operators."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from small_graphs import new_graph

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import Stored
from keras_vrnn.tflite.exporting.writing import metadata
from keras_vrnn.tflite.exporting.writing import operators as op

FOUR_BITS = Stored(np.ones((2, 3), np.int8), Quantization(0.5), int4=True)


def runtime(file):
    """The oldest runtime that the metadata of a file names."""
    metadata.write(file)
    buffers = {
        entry.name if isinstance(entry.name, str) else entry.name.decode(): entry.buffer
        for entry in file.model.metadata
    }
    content = bytes(file.model.buffers[buffers["min_runtime_version"]].data)
    assert len(content) == 16
    return content.rstrip(b"\0").decode()


@pytest.mark.parametrize(
    ("build", "version"),
    [
        (lambda main, x: op.unary(main, "TANH", "h", x, None), "2.3.0"),
        (lambda main, x: op.add(main, "a", x, x, None), "2.4.0"),
        (lambda main, x: op.reverse(main, "r", x), "1.14.0"),
        (lambda main, x: op.update(main, "u", x, x, x), "2.9.0"),
        (lambda main, x: op.fully_connected(main, "z", x, x, -1, np.float32, None), "2.3.0"),
        (
            lambda main, x: op.fully_connected(main, "z", x, main.stored("w", FOUR_BITS), -1, np.int8, None),
            "2.11.0",
        ),
    ],
)
def test_the_youngest_operator_decides(build, version):
    file, main = new_graph()
    build(main, main.tensor("x", (1, 3), np.float32))
    assert runtime(file) == version


def test_the_converters_own_finding_counts():
    file, main = new_graph()
    op.unary(main, "TANH", "h", main.tensor("x", (1, 3), np.float32), None)
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"min_runtime_version", file.new_buffer(b"2.11.0".ljust(16, b"\0"))
    file.model.metadata = [entry]
    assert runtime(file) == "2.11.0"


def test_the_description_names_this_package():
    file, main = new_graph()
    op.unary(main, "TANH", "h", main.tensor("x", (1, 3), np.float32), None)
    metadata.write(file)
    assert kv.__version__ in file.model.description
