"""RESHAPE operators that do nothing together are removed, and nothing else changes."""

import numpy as np
import pytest
from small_graphs import finished, new_graph, run

from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing import reshapes

X = np.random.default_rng(0).normal(size=(1, 4, 3)).astype("float32")


def dense(main, source, outputs):
    rng = np.random.default_rng(outputs)
    weights = main.constant("w", rng.normal(size=(outputs, main.shape(source)[-1])).astype("float32"))
    return op.fully_connected(main, "dense", source, weights, -1, np.float32, None, flat=True)


def flat(main, source):
    return op.reshape(main, "flat", source, (4, main.shape(source)[-1]))


def whole(main, source):
    return op.reshape(main, "whole", source, (1, 4, main.shape(source)[-1]))


def two_dense(main, x):
    return [whole(main, dense(main, flat(main, whole(main, dense(main, flat(main, x), 5))), 2))]


def read_twice(main, x):
    inner = dense(main, flat(main, x), 5)
    return [whole(main, inner), op.unary(main, "TANH", "t", inner, None)]


def an_output_between(main, x):
    first = op.reshape(main, "a", x, (1, 12))
    return [first, op.reshape(main, "b", first, (1, 2, 6)), op.reshape(main, "c", first, (1, 4, 3))]


def there_and_back(main, x):
    return [op.unary(main, "TANH", "t", whole(main, flat(main, x)), None)]


@pytest.mark.parametrize(
    ("build", "operators"),
    [
        (two_dense, ["FULLY_CONNECTED", "FULLY_CONNECTED"]),
        (read_twice, ["RESHAPE", "FULLY_CONNECTED", "RESHAPE", "TANH"]),
        (an_output_between, ["RESHAPE", "RESHAPE", "RESHAPE"]),
        (there_and_back, ["TANH"]),
    ],
)
def test_the_file_computes_the_same_with_fewer_operators(build, operators):
    made = []
    for folded in (False, True):
        file, main = new_graph()
        x = main.tensor("x", X.shape, np.float32)
        main.subgraph.outputs = list(build(main, x))
        if folded:
            reshapes.fold(main)
            assert [file.operator_name(each) for each in main.subgraph.operators] == operators
        made.append(run(finished(file, [x], main.subgraph.outputs), X))
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)
