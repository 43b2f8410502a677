"""Arithmetic of two operands, products and changes of format: every integer against TFLite Micro."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from micro_operators import Draws, assert_equal, both, options

from keras_vrnn.quantization.formats import Quantization, unpacked
from keras_vrnn.tflite.micro.interpreter import is_installed
from keras_vrnn.tflite.running.simulated_operators import OPERATORS

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])
SHAPE = (1, 3000)


@TYPES
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM"])
def test_two_operands(name, dtype, tmp_path):
    for seed in range(16):
        draws = Draws(seed, dtype)
        x_format, y_format = draws.format(), draws.format()
        large = max(x_format.scale, y_format.scale)
        spread = {
            "MUL": x_format.scale * y_format.scale * draws.largest(),
            "SQUARED_DIFFERENCE": large**2 * draws.largest(),
        }.get(name, large)
        target = draws.format(spread * draws.between(-3, 3))
        fields = {"fusedActivationFunction": draws.activation()} if name in ("ADD", "SUB", "MUL") else {}
        method = {"MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum"}.get(name) or "".join(
            part.capitalize() for part in name.split("_")
        )
        # Every third time y is a constant that is broadcast.
        y = (draws.values(1, 1), y_format, True) if seed % 3 == 0 else (draws.values(*SHAPE), y_format)
        inputs = [(draws.values(*SHAPE), x_format), y]
        assert_equal(tmp_path / "m", name, inputs, SHAPE, dtype, target, options(method, **fields))


def test_quotients(tmp_path):
    for seed in range(16):
        draws = Draws(seed, "int8")
        x_format, y_format = draws.format(), draws.format()
        y = draws.values(*SHAPE)
        # The kernel does not define x / 0.
        y = np.where(y == y_format.zero_point, -y_format.zero_point // 2 or 5, y).astype(np.int8)
        target = draws.format(x_format.scale / y_format.scale / 100 * draws.between(-3, 3))
        settings = options("Div", fusedActivationFunction=draws.activation())
        inputs = [(draws.values(*SHAPE), x_format), (y, y_format)]
        assert_equal(tmp_path / "m", "DIV", inputs, SHAPE, "int8", target, settings)


@pytest.mark.parametrize("name", ["Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"])
def test_comparisons_see_real_values_in_steps(name, tmp_path):
    """Two integers are equal to the kernels if their real values round to one step of 1/256."""
    operator = {"NotEqual": "NOT_EQUAL", "LessEqual": "LESS_EQUAL", "GreaterEqual": "GREATER_EQUAL"}.get(
        name, name.upper()
    )
    for seed in range(6):
        draws = Draws(seed, "int8")
        x_format, y_format = draws.format(draws.between(-13, -1)), draws.format(draws.between(-13, -1))
        inputs = [
            (draws.values(*SHAPE), x_format),
            (draws.values(*SHAPE), x_format if seed % 2 else y_format),
        ]
        assert_equal(tmp_path / "m", operator, inputs, SHAPE, "bool", None, options(name))


@TYPES
def test_changes_of_format(dtype, tmp_path):
    other = {"int8": "int16", "int16": "int8"}[dtype]
    for seed in range(12):
        draws = Draws(seed, dtype)
        x, source = draws.values(*SHAPE), draws.format()
        target = draws.format(source.scale * draws.between(-4, 4))
        assert_equal(tmp_path / "m", "QUANTIZE", [(x, source)], SHAPE, dtype, target)
        wide = Draws(seed, other).format(source.scale * (256 if other == "int8" else 1 / 256))
        assert_equal(tmp_path / "m", "QUANTIZE", [(x, source)], SHAPE, other, wide)
        assert_equal(tmp_path / "m", "DEQUANTIZE", [(x, source)], SHAPE, "float32")
        real = (draws.rng.normal(size=SHAPE) * source.scale * draws.largest()).astype(np.float32)
        real[0, :100] = np.float32(source.scale) * (np.arange(100) - 50 + np.float32(0.5))  # halves
        assert_equal(tmp_path / "m", "QUANTIZE", [(real, None)], SHAPE, dtype, source)


@TYPES
@pytest.mark.parametrize("name", ["TANH", "LOGISTIC"])
def test_tanh_and_logistic(name, dtype, tmp_path):
    results = {
        ("TANH", "int8"): Quantization(1 / 128, 0),
        ("LOGISTIC", "int8"): Quantization(1 / 256, -128),
    }
    for seed in range(16):
        draws = Draws(seed, dtype)
        # int16: a power of two goes its own way.
        scale = (
            2.0 ** -(9 + seed // 2)
            if seed % 2 and dtype == "int16"
            else draws.between(-1, 4) / draws.largest()
        )
        target = results.get((name, dtype), Quantization(1 / 32768, 0))
        inputs = [(draws.values(*SHAPE), draws.format(scale))]
        assert_equal(tmp_path / "m", name, inputs, SHAPE, dtype, target)


@TYPES
@pytest.mark.parametrize("kind", ["wide bias", "narrow bias", "no bias", "no bias, narrow"])
def test_fully_connected(kind, dtype, tmp_path):
    for seed in range(10):
        draws = Draws(seed, dtype)
        inputs, outputs = int(draws.rng.integers(1, 300)), int(draws.rng.integers(2, 20))
        source, several = draws.format(), seed % 2 == 0
        scales = (2.0 ** draws.rng.uniform(-9, -6, outputs)).astype(np.float32)
        w_format = Quantization(scales, 0, 0) if several else Quantization(float(scales[0]), 0)
        operands = [(draws.values(30, inputs), source), (draws.weights(outputs, inputs), w_format, True)]
        if "no" not in kind.split():
            products = np.float32(source.scale) * scales
            q = Quantization(products, 0, 0) if several else Quantization(float(products[0]), 0)
            wide = dtype == "int16" and kind == "wide bias"
            bias = draws.rng.integers(-3000, 3000, outputs).astype(np.int64 if wide else np.int32)
            operands.append((bias, q, True))
        target = draws.format(source.scale * scales.mean() * np.sqrt(inputs) * 73 * draws.between(-2, 2))
        narrow = schema.TensorType.INT32 if kind.endswith("narrow") else schema.TensorType.FLOAT32
        settings = options(
            "FullyConnected", fusedActivationFunction=draws.activation(), quantizedBiasType=narrow
        )
        assert_equal(tmp_path / "m", "FULLY_CONNECTED", operands, (30, outputs), dtype, target, settings)


@TYPES
@pytest.mark.parametrize("turned", [False, True])
def test_batch_matmul(turned, dtype, tmp_path):
    for seed in range(8):
        draws = Draws(seed, dtype)
        x_format, y_format = draws.format(), draws.format()
        target = draws.format(x_format.scale * y_format.scale * draws.largest() * 3 * draws.between(-2, 2))
        shapes = ((2, 7, 4), (2, 5, 7)) if turned else ((2, 4, 7), (2, 7, 5))
        inputs = [(draws.values(*shapes[0]), x_format), (draws.values(*shapes[1]), y_format)]
        settings = options("BatchMatMul", adjX=turned, adjY=turned)
        assert_equal(tmp_path / "m", "BATCH_MATMUL", inputs, (2, 4, 5), dtype, target, settings)


def test_int4_weights(tmp_path):
    """Two per byte, the lower half first; an odd count leaves half a byte unused."""
    assert unpacked(bytes([0x1F, 0x87, 0x05]), (1, 5)).tolist() == [[-1, 1, 7, -8, 5]]
    for seed in range(6):
        draws = Draws(seed, "int8")
        inputs, outputs = 1 + 6 * seed, 3  # odd counts at times
        source, weights = draws.format(), draws.rng.integers(-8, 8, (outputs, inputs)).astype(np.int8)
        target = draws.format(source.scale * 0.01 * np.sqrt(inputs) * 4 * draws.between(-2, 2))
        bias = (
            draws.rng.integers(-100, 100, outputs).astype(np.int32),
            Quantization(source.scale * 0.01),
            True,
        )
        operands = [(draws.values(30, inputs), source), (weights, Quantization(0.01), "int4"), bias]
        settings = options("FullyConnected")
        assert_equal(tmp_path / "m", "FULLY_CONNECTED", operands, (30, outputs), "int8", target, settings)


@pytest.mark.parametrize("name", ["ELU", "HARD_SWISH", "L2_NORMALIZATION", "LOG_SOFTMAX"])
def test_types_that_a_kernel_does_not_take(name, tmp_path):
    draws = Draws(0, "int16")
    inputs, target = [(draws.values(1, 9), draws.format(0.05))], Quantization(0.05, 0)
    with pytest.raises(ValueError, match=f"computes {name} in int16, which its kernel does not take"):
        both(tmp_path / "m", name, inputs, (1, 9), "int16", target)


def test_float_arithmetic_that_depends_on_the_device(tmp_path):
    inputs = [(np.zeros((1, 9), np.float32), None)]
    with pytest.raises(
        ValueError, match=r"computes LOGISTIC in float32 \(tensor 'y'\), whose last bit depends"
    ):
        both(tmp_path / "m", "LOGISTIC", inputs, (1, 9), "float32")


def test_types_without_arithmetic(tmp_path):
    inputs = [(np.zeros((1, 9), np.float16), None)]
    with pytest.raises(ValueError, match=r"holds a tensor of type FLOAT16 \('x0'\)"):
        both(tmp_path / "m", "CAST", inputs, (1, 9), "float32")


def test_a_bias_that_a_kernel_reads_beyond_its_end(tmp_path):
    draws = Draws(0, "int16")
    q, bias = draws.format(0.05), (np.zeros(2, np.int32), Quantization(1e-3), True)
    shape = (np.array([1, 1, 4, 2], np.int32), None, True)
    inputs = [shape, (draws.weights(2, 1, 1, 3), q, True), (draws.values(1, 1, 4, 3), q), bias]
    with pytest.raises(ValueError, match="TRANSPOSE_CONV of int16 with a bias of int32"):
        both(tmp_path / "m", "TRANSPOSE_CONV", inputs, (1, 1, 4, 2), "int16", q, options("TransposeConv"))


def test_every_operator_is_one_of_the_schema():
    assert set(OPERATORS) <= set(vars(schema.BuiltinOperator))


@pytest.mark.parametrize("name", ["ARG_MAX", "ARG_MIN"])
def test_the_first_of_equal_extremes(name, tmp_path):
    draws = Draws(1, "int8")
    x = (draws.values(50, 20) // 64).astype(np.int8)
    method = {"ARG_MAX": "ArgMax", "ARG_MIN": "ArgMin"}[name]
    settings = options(method, outputType=schema.TensorType.INT32)
    inputs = [(x, draws.format()), (np.array([1], np.int32), None, True)]
    assert_equal(tmp_path / "m", name, inputs, (50,), "int32", None, settings)


@pytest.mark.parametrize("name", ["REDUCE_MAX", "REDUCE_MIN"])
def test_extremes_along_axes(name, tmp_path):
    draws = Draws(2, "int8")
    q = draws.format()
    for axes, shape in (((1,), (3, 5)), ((0, 2), (4,)), ((-1,), (3, 4))):
        inputs = [(draws.values(3, 4, 5), q), (np.array(axes, np.int32), None, True)]
        assert_equal(tmp_path / "m", name, inputs, shape, "int8", q, options("Reducer", keepDims=False))


def test_results_of_another_type(tmp_path):
    draws = Draws(0, "int8")
    inputs, target = [(draws.values(1, 9), draws.format(0.05))], Quantization(1 / 65536, 0)
    with pytest.raises(ValueError, match=r"computes SOFTMAX from one type to another \(tensor 'y'\)"):
        both(tmp_path / "m", "SOFTMAX", inputs, (1, 9), "int16", target, options("Softmax", beta=1.0))
