"""TFLite models as objects: what is written is read again, and what is equal is stored once."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from small_graphs import finished, new_graph, run

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import Stored
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.flatbuffer import RESOURCE, ModelFile

DTYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool"
X = np.array([[1.0, -2.0, 3.0]], np.float32)


@pytest.mark.parametrize("dtype", DTYPES.split())
def test_tensors_of_every_type(dtype):
    _, main = new_graph()
    data = np.array([[0, 1, 1]], dtype)
    index = main.constant("c", data)
    assert main.dtype(index) == data.dtype
    assert main.shape(index) == (1, 3)
    np.testing.assert_array_equal(main.data(index), data)
    x = main.tensor("x", (1, 3), np.float32)
    assert main.data(x) is None
    assert main.quantization(x) is None


@pytest.mark.parametrize(
    "quantization",
    [Quantization(0.5, -3), Quantization(np.array([0.5, 0.25]), 0, axis=0)],
    ids=["one", "two"],
)
def test_quantization_is_read_again(quantization):
    _, main = new_graph()
    x = main.tensor("x", (2, 3), np.int8, quantization)
    found = main.quantization(x)
    np.testing.assert_allclose(found.scale, quantization.scale)
    assert found.axis == quantization.axis
    main.declare(x, None)
    assert main.quantization(x) is None


def test_a_handle_has_a_type_that_numpy_lacks():
    _, main = new_graph()
    index = main.tensor("handle", (), RESOURCE)
    assert main.subgraph.tensors[index].type == schema.TensorType.RESOURCE


def test_equal_constants_and_operators_are_stored_once():
    file, main = new_graph()
    x = main.tensor("x", (1, 3), np.float32)
    first = op.add(main, "a", x, main.constant("b", X), None)
    second = op.add(main, "a", first, main.constant("c", X.copy()), None)
    assert len(file.model.buffers) == 2  # the empty one and X
    assert len(file.model.operatorCodes) == 1
    np.testing.assert_array_equal(run(finished(file, [x], [second]), X)[0], 3 * X)


def test_a_file_is_read_and_written_again():
    file, main = new_graph()
    x = main.tensor("x", (1, 3), np.float32)
    content = finished(file, [x], [op.unary(main, "TANH", "h", x, None)])
    again = ModelFile(content)
    assert [again.operator_name(o) for o in again.main.subgraph.operators] == ["TANH"]
    assert again.buffer(np.zeros(0, np.uint8)) == again.buffer(np.zeros(0, np.uint8))
    np.testing.assert_array_equal(run(again.pack(), X)[0], run(content, X)[0])


def test_operators_run_after_those_that_feed_them():
    file, main = new_graph()
    x, late = main.tensor("x", (1, 3), np.float32), main.tensor("late", (1, 3), np.float32)
    y = op.unary(main, "TANH", "y", late, None)
    main.operator("ADD", [x, x], [late], schema.AddOptionsT())
    main.sort_operators()
    assert [file.operator_name(o) for o in main.subgraph.operators] == ["ADD", "TANH"]
    np.testing.assert_allclose(run(finished(file, [x], [y]), X)[0], np.tanh(2 * X), atol=1e-6)  # rounding


def test_a_cycle_is_a_fault_of_ours():
    _, main = new_graph()
    a, b = main.tensor("a", (1,), np.float32), main.tensor("b", (1,), np.float32)
    main.operator("TANH", [a], [b])
    main.operator("TANH", [b], [a])
    with pytest.raises(RuntimeError, match="has a cycle; please report it"):
        main.sort_operators()


def test_another_file_inlined():
    inner, graph = new_graph()
    source = graph.tensor("x", (1, 3), np.float32)
    content = finished(inner, [source], [op.add(graph, "a", source, graph.constant("c", X), None)])
    file, main = new_graph()
    x = main.tensor("x", (1, 3), np.float32)
    made = op.unary(main, "TANH", "h", main.inline(content, op.unary(main, "TANH", "t", x, None)), None)
    expected = np.tanh(np.tanh(X) + X)
    np.testing.assert_allclose(run(finished(file, [x], [made]), X)[0], expected, atol=1e-6)  # rounding


def test_an_operator_code_takes_the_higher_version():
    file, _ = new_graph()
    index = file.operator_code("ADD")
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 4
    assert file.adopt_code(code) == index
    assert file.model.operatorCodes[index].version == 4


def test_codes_from_127_on_have_a_placeholder_in_the_old_field():
    file, _ = new_graph()
    code = file.model.operatorCodes[file.operator_code("VAR_HANDLE")]
    assert (code.builtinCode, code.deprecatedBuiltinCode) == (schema.BuiltinOperator.VAR_HANDLE, 127)


def test_weights_of_four_bits_take_half_a_byte():
    file, main = new_graph()
    values = np.array([[1, -7, 3], [0, 7, -1], [2, 2, -3]], np.int8)
    index = main.stored("w", Stored(values, Quantization(0.5), int4=True))
    assert main.subgraph.tensors[index].type == schema.TensorType.INT4
    assert len(file.model.buffers[main.subgraph.tensors[index].buffer].data) == 5
    np.testing.assert_array_equal(main.data(index), values)
    assert main.dtype(index) == np.int8
    other = main.stored("v", Stored(values, Quantization(0.5)))
    assert main.subgraph.tensors[other].type == schema.TensorType.INT8
    np.testing.assert_array_equal(main.data(other), values)
