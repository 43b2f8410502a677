"""Embedding tables of int16 files become int8, and their rows keep their values."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from small_graphs import finished, new_graph, run

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting.writing import tables

TOKENS = np.array([[3, 0, 4]], np.int32)


def gather(values, quantization, tokens=TOKENS):
    """A file with one GATHER of the rows of a table."""
    file, main = new_graph()
    x = main.tensor("x", tokens.shape, np.int32)
    y = main.tensor("y", (*tokens.shape, values.shape[1]), values.dtype, quantization)
    table = main.constant("words", values, quantization)
    main.operator("GATHER", [table, x], [y], schema.GatherOptionsT())
    return file, main, x, y


def operators(file):
    return [file.operator_name(each) for each in file.main.subgraph.operators]


def read_tables(main):
    """The tables that the file still reads."""
    return [
        main.data(int(each.inputs[0]))
        for each in main.subgraph.operators
        if main.file.operator_name(each) == "GATHER"
    ]


@pytest.mark.parametrize("largest", [32767, 90])
def test_rows_keep_their_values_to_half_a_step(largest):
    values = np.random.default_rng(0).integers(-largest, largest + 1, (5, 6)).astype(np.int16)
    values[2, 1] = -largest
    scale = 3.0 / 32767
    file, main, x, y = gather(values, Quantization(scale, 0))
    tables.narrow(main)
    assert operators(file) == ["GATHER", "QUANTIZE"]
    (table,) = read_tables(main)
    assert table.dtype == np.int8
    assert np.abs(table.astype(int)).max() == 127, "the whole range is used"
    (made,) = run(finished(file, [x], [y]), TOKENS)
    assert made.dtype == np.int16
    # Half a step of int8, and half a step of int16 for the conversion back.
    allowed = scale * (largest / 127 / 2 + 0.5) * (1 + 1e-6)
    assert np.abs(scale * (made.astype(int) - values[TOKENS])).max() <= allowed


def test_a_table_of_zeros_stays_zero():
    file, main, x, y = gather(np.zeros((5, 6), np.int16), Quantization(0.5, 0))
    tables.narrow(main)
    (made,) = run(finished(file, [x], [y]), TOKENS)
    assert not made.any()


@pytest.mark.parametrize(
    ("dtype", "quantization"), [(np.int8, Quantization(0.1, 3)), (np.float32, None)], ids=["int8", "float32"]
)
def test_other_tables_stay(dtype, quantization):
    values = np.arange(30).reshape(5, 6).astype(dtype)
    file, main, x, y = gather(values, quantization)
    tables.narrow(main)
    assert operators(file) == ["GATHER"]
    (made,) = run(finished(file, [x], [y]), TOKENS)
    np.testing.assert_array_equal(made, values[TOKENS])


def test_a_table_that_the_model_computes_stays():
    file, main = new_graph()
    quantization = Quantization(0.1, 0)
    words = main.tensor("words", (5, 6), np.int16, quantization)
    x = main.tensor("x", TOKENS.shape, np.int32)
    y = main.tensor("y", (1, 3, 6), np.int16, quantization)
    main.operator("GATHER", [words, x], [y], schema.GatherOptionsT())
    tables.narrow(main)
    assert operators(file) == ["GATHER"]
