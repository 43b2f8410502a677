"""Operators of single elements in C: every integer against TFLite Micro."""

import firmware
import numpy as np
import pytest
from micro_operators import Draws, options

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.micro.interpreter import is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])
SHAPE = (1, 3000)


@TYPES
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_two_operands(name, dtype, tmp_path):
    for seed in range(8):
        draws = Draws(seed, dtype)
        formats = draws.format(), draws.format()
        spread = max(f.scale for f in formats)
        if name == "MUL":
            spread = formats[0].scale * formats[1].scale * draws.largest()
        target = draws.format(spread * draws.between(-3, 3))
        # Every second time y is a constant that is broadcast.
        y = (draws.values(1, 1), formats[1], True) if seed % 2 else (draws.values(*SHAPE), formats[1])
        settings = options(name.capitalize(), fusedActivationFunction=draws.activation())
        inputs = [(draws.values(*SHAPE), formats[0]), y]
        firmware.assert_operator(tmp_path, name, inputs, SHAPE, dtype, target, settings)


@TYPES
@pytest.mark.parametrize("other", [(1, 30), (100, 1), (2, 50, 1), (2, 1, 30)])
def test_broadcast_operands(other, dtype, tmp_path):
    draws = Draws(3, dtype)
    shape = (2, 50, 30) if len(other) == 3 else (100, 30)
    inputs = [(draws.values(*shape), draws.format(0.01)), (draws.values(*other), draws.format(0.02))]
    settings = options("Add", fusedActivationFunction=0)
    firmware.assert_operator(tmp_path, "ADD", inputs, shape, dtype, draws.format(0.03), settings)


@TYPES
@pytest.mark.parametrize("name", ["QUANTIZE", "RELU", "RELU6", "TANH", "LOGISTIC"])
def test_one_operand(name, dtype, tmp_path):
    for seed in range(6):
        draws = Draws(seed, dtype)
        scale = draws.between(-13, -3) if dtype == "int8" else draws.between(-15, -11)
        source = draws.format(scale)
        target = draws.format(source.scale * draws.between(-2, 2))
        if name in ("TANH", "LOGISTIC"):
            step = (7 if dtype == "int8" else 15) + (name == "LOGISTIC" and dtype == "int8")
            target = Quantization(2.0**-step, -128 if name == "LOGISTIC" and dtype == "int8" else 0)
        inputs = [(draws.values(*SHAPE), source)]
        firmware.assert_operator(tmp_path, name, inputs, SHAPE, dtype, target)


@pytest.mark.parametrize("power", [-11, -12])
@pytest.mark.parametrize("name", ["TANH", "LOGISTIC"])
def test_int16_curves_at_powers_of_two(name, power, tmp_path):
    x = np.arange(-32768, 32768, dtype=np.int16).reshape(1, -1)
    inputs = [(x, Quantization(2.0**power, 0))]
    firmware.assert_operator(tmp_path, name, inputs, x.shape, "int16", Quantization(2.0**-15, 0))


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_plain_int32(name, tmp_path):
    """Numbers of few and of all bits; overflow wraps around."""
    rng = np.random.default_rng(2)
    if name == "MUL":  # TFLite Micro has no product whose overflow C would define
        x, y = (rng.integers(-46340, 46341, SHAPE).astype(np.int32) for _ in range(2))
    else:
        x, y = (rng.integers(-(2**31), 2**31, SHAPE).astype(np.int32) for _ in range(2))
    settings = options(name.capitalize(), fusedActivationFunction=0)
    firmware.assert_operator(tmp_path, name, [(x, None), (y, None)], SHAPE, "int32", None, settings)


@TYPES
def test_int32_to_fewer_bits(dtype, tmp_path):
    for seed in range(6):
        draws = Draws(seed, dtype)
        x = draws.rng.integers(-(2**31), 2**31, SHAPE).astype(np.int32)
        source, target = Quantization(float(np.float32(draws.between(-30, -20))), 0), draws.format(0.02)
        firmware.assert_operator(tmp_path, "QUANTIZE", [(x, source)], SHAPE, dtype, target)


@TYPES
@pytest.mark.parametrize("name", ["MAXIMUM", "MINIMUM"])
def test_extremes(name, dtype, tmp_path):
    draws = Draws(4, dtype)
    q = draws.format(0.01)
    inputs = [(draws.values(*SHAPE), q), (draws.values(*SHAPE), q)]
    firmware.assert_operator(tmp_path, name, inputs, SHAPE, dtype, q, options("MaximumMinimum"))


@pytest.mark.parametrize("name", ["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"])
def test_comparisons(name, tmp_path):
    draws = Draws(5, "int8")
    q = draws.format(0.02)
    inputs = [(draws.values(*SHAPE), q), (draws.values(*SHAPE), q)]
    firmware.assert_operator(tmp_path, name, inputs, SHAPE, "bool")


def test_comparisons_of_coarsely_rounded_values_are_refused(tmp_path):
    """Kernels compare steps of 1/256: different integers in a finer format may be equal to them."""
    from micro_operators import both

    draws = Draws(5, "int8")
    q, path = draws.format(0.0005), tmp_path / "m.tflite"
    both(path, "EQUAL", [(draws.values(*SHAPE), q), (draws.values(*SHAPE), q)], SHAPE, "bool")
    with pytest.raises(ValueError, match="computes EQUAL of tensors in different formats"):
        kv.tflite.write_c(path, tmp_path)


@TYPES
def test_choices(dtype, tmp_path):
    draws = Draws(6, dtype)
    q, chosen = draws.format(0.02), draws.rng.integers(2, size=SHAPE).astype(bool)
    inputs = [(chosen, None), (draws.values(*SHAPE), q), (draws.values(*SHAPE), q)]
    firmware.assert_operator(tmp_path, "SELECT_V2", inputs, SHAPE, dtype, q)
