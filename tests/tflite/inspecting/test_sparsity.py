"""The share of zeros in a constant, from the bytes of the file."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from keras import layers as kl

import keras_vrnn as kv
from keras_vrnn.tflite.inspecting.sparsity import zeros
from keras_vrnn.tflite.reading import read


def tensor(dtype, shape, data, zero_point=None, axis=0):
    """A model with one constant, and the constant."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    constant = schema.TensorT()
    constant.type, constant.shape, constant.buffer = getattr(schema.TensorType, dtype), shape, 1
    if zero_point is not None:
        constant.quantization = schema.QuantizationParametersT()
        constant.quantization.scale = [0.5] * len(zero_point)
        constant.quantization.zeroPoint, constant.quantization.quantizedDimension = zero_point, axis
    model = schema.ModelT()
    model.buffers = [schema.BufferT(), buffer]
    return model, constant


def packed(values, bits):
    """Integers as TFLite packs them: the first one in the lowest bits of a byte."""
    per_byte = 8 // bits
    values = [value % 2**bits for value in values] + [0] * (-len(values) % per_byte)
    bytes_of = [values[at : at + per_byte] for at in range(0, len(values), per_byte)]
    return bytes(sum(value << bits * place for place, value in enumerate(group)) for group in bytes_of)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64"]
)
def test_numbers_that_are_exactly_zero_count(dtype):
    value = np.array([[0, -0.0, 1], [2, 3, 0]], dtype)
    assert zeros(b"", *tensor(dtype.upper(), [2, 3], value.tobytes())) == 0.5


def test_tiny_floats_are_not_zero():
    value = np.array([0.0, -0.0, 1e-45, np.nan], np.float32)
    assert zeros(b"", *tensor("FLOAT32", [4], value.tobytes())) == 0.5


@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 128), ("int8", -7), ("int8", 0)])
def test_the_zero_point_stands_for_zero(dtype, zero_point):
    value = np.array([zero_point, zero_point, 5, 0], dtype)
    expected = 0.75 if zero_point == 0 else 0.5
    assert zeros(b"", *tensor(dtype.upper(), [2, 2], value.tobytes(), [zero_point])) == expected


def test_each_slice_has_its_own_zero_point():
    value = np.array([[1, 0, 3], [1, 2, 3]], np.int8)
    assert zeros(b"", *tensor("INT8", [2, 3], value.tobytes(), [1, 2, 4], axis=1)) == 0.5
    assert zeros(b"", *tensor("INT8", [2, 3], value.tobytes(), [0, 3], axis=0)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("count", [6, 7])
def test_int4_values_share_a_byte_and_the_last_half_may_be_empty(count):
    values = [0, -8, 7, 0, -1, 0, 0][:count]
    assert zeros(b"", *tensor("INT4", [count], packed(values, 4))) == values.count(0) / count
    assert zeros(b"", *tensor("INT4", [count], packed(values, 4), [-8])) == 1 / count


def test_the_other_packed_types():
    assert zeros(b"", *tensor("INT2", [5], packed([0, 1, -2, -1, 0], 2))) == 0.4
    assert zeros(b"", *tensor("UINT4", [3], packed([0, 15, 8], 4), [8])) == pytest.approx(1 / 3)


def test_values_behind_the_flatbuffer():
    """Files above 2 GB keep their constants there."""
    model, constant = tensor("INT8", [4], b"")
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 3, 4
    assert zeros(b"xyz" + bytes([0, 0, 0, 9]), model, constant) == 0.75


@pytest.mark.parametrize("dtype", ["STRING", "COMPLEX64"])
def test_other_types_have_no_share(dtype):
    assert zeros(b"", *tensor(dtype, [1], bytes(8))) is None


def test_a_computed_tensor_has_no_share():
    model, constant = tensor("INT8", [4], bytes(4))
    constant.buffer = 0
    assert zeros(b"", model, constant) is None


def test_the_converter_s_sparse_encoding_counts_what_it_leaves_out(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(256, 256)).astype("float32")
    kernel[:, 64:] = 0.0
    model = keras.Sequential([keras.Input((256,)), kl.Dense(256, use_bias=False)])
    model.set_weights([kernel.T])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    path = tmp_path / "sparse.tflite"
    path.write_bytes(converter.convert())
    content, parsed = read(path)
    sparse = [t for graph in parsed.subgraphs for t in graph.tensors if t.sparsity is not None]
    assert [zeros(content, parsed, t) for t in sparse] == [0.75]


@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_inspect_shows_the_zeros_of_each_matrix(quantization, tmp_path):
    rng = np.random.default_rng(1)
    model = keras.Sequential([keras.Input((5, 8)), kv.VanillaRNN(16), kl.Dense(4)])
    # Weights far enough from zero that rounding to int8 makes no more of them.
    values = [rng.uniform(0.5, 1, w.shape) * rng.choice([-0.1, 0.1], w.shape) for w in model.weights]
    for value, count in ((values[0], 64), (values[1], 192)):  # of 128 and of 256
        value.flat[rng.permutation(value.size)[:count]] = 0
    model.set_weights(values)
    path = tmp_path / "model.tflite"
    data = {"calibration_data": rng.normal(size=(16, 5, 8))} if quantization.startswith("int") else {}
    kv.tflite.export(model, path, quantization=quantization, **data)
    report = kv.tflite.inspect(path)
    found = {t.shape: t.zeros for graph in report.subgraphs for t in graph.tensors if t.zeros is not None}
    assert (found[16, 8], found[16, 16], found[4, 16]) == (0.5, 0.75, 0.0)
    shown = {line.rpartition(", ")[2] for line in str(report).splitlines() if "% zeros" in line}
    assert shown == {"50 % zeros", "75 % zeros"}
    assert '"zeros": 0.75' in report.to_json()
    computed = [t for graph in report.subgraphs for t in graph.tensors if not t.bytes]
    assert {t.zeros for t in computed} == {None}
