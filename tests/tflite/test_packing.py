"""Bytes of a file: equal parts once, data where a microcontroller can read it."""

import numpy as np
from small_graphs import finished, new_graph, run

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile


def chain(length, name="the same long name of a tensor"):
    file, main = new_graph()
    x = tensor = main.tensor("x", (1, 8), np.int8, Quantization(1 / 128, 0))
    for _ in range(length):
        tensor = op.reshape(main, name, tensor, (1, 8))
    return finished(file, [x], [tensor])


def test_names_shapes_and_quantization_are_stored_once():
    # An operator and a tensor of their own, without strings and parameters: some 100 bytes.
    assert len(chain(11)) - len(chain(1)) < 10 * 120
    assert chain(5).count(b"the same long name") == 1


def test_packing_twice_gives_the_same_bytes():
    file = ModelFile(chain(3))
    assert file.pack() == file.pack()


def test_constants_are_aligned_to_16_bytes():
    file, main = new_graph()
    x = main.tensor("x", (1, 5), np.float32)
    data = [np.arange(5, dtype="float32")[None] + k for k in range(4)]
    y = x
    for constant in data:
        y = op.add(main, "a", y, main.constant("c", constant), None)
    content = finished(file, [x], [y])
    assert [content.index(constant.tobytes()) % 16 for constant in data] == [0] * 4
    np.testing.assert_array_equal(run(content, np.zeros((1, 5)))[0], sum(data))
