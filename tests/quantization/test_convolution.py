"""Convolutions: every integer against TFLite Micro, over random windows, formats and biases."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from micro_operators import Draws, assert_equal, movement, options, window

from keras_vrnn.quantization import convolution
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.windows import Window
from keras_vrnn.tflite.micro.interpreter import is_installed

micro = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])


def weights_and_bias(draws, shape, axis, source, narrow=False):
    """Constant weights with one scale or one per filter, and a bias, a narrow one or none."""
    filters = shape[axis]
    several = draws.seed % 3 != 1 and filters > 1
    scales = (2.0 ** draws.rng.uniform(-9, -6, filters)).astype(np.float32)
    q = Quantization(scales, 0, axis) if several else Quantization(float(scales[0]), 0)
    made = [(draws.weights(*shape), q, True)]
    if draws.seed % 4 == 3:
        return made, scales
    products = np.float32(source.scale) * scales
    bias_format = Quantization(products, 0, 0) if several else Quantization(float(products[0]), 0)
    dtype = np.int32 if draws.dtype == np.int8 or narrow else np.int64
    return [*made, (draws.rng.integers(-3000, 3000, filters).astype(dtype), bias_format, True)], scales


def result_format(draws, source, scales, products):
    # Sums of products of a uniform input with uniform weights, over the integers of the result.
    return draws.format(source.scale * scales.mean() * np.sqrt(products) * 73 * draws.between(-2, 2))


@micro
@TYPES
def test_conv(dtype, tmp_path):
    for seed in range(24):
        draws = Draws(seed, dtype)
        image, w = window(draws)
        if min(w.results(image)) < 1:
            continue
        groups, width, each = map(int, draws.rng.integers(1, 4, 3))
        source, narrow = draws.format(), seed % 5 == 0
        shape = (groups * each, *w.size, width)
        constants, scales = weights_and_bias(draws, shape, 0, source, narrow)
        target = result_format(draws, source, scales, width * np.prod(w.size))
        settings = options(
            "Conv2D",
            **movement(w),
            dilationHFactor=w.dilation[0],
            dilationWFactor=w.dilation[1],
            fusedActivationFunction=draws.activation(),
            quantizedBiasType=schema.TensorType.INT32 if narrow else schema.TensorType.FLOAT32,
        )
        x = draws.values(2, *image, groups * width)
        result = (2, *w.results(image), groups * each)
        assert_equal(tmp_path / "m", "CONV_2D", [(x, source), *constants], result, dtype, target, settings)


@micro
@TYPES
def test_depthwise_conv(dtype, tmp_path):
    for seed in range(24):
        draws = Draws(seed, dtype)
        image, w = window(draws)
        if min(w.results(image)) < 1:
            continue
        channels, multiplier = map(int, draws.rng.integers(1, 5, 2))
        source = draws.format()
        constants, scales = weights_and_bias(draws, (1, *w.size, channels * multiplier), 3, source)
        target = result_format(draws, source, scales, np.prod(w.size))
        settings = options(
            "DepthwiseConv2D",
            **movement(w),
            dilationHFactor=w.dilation[0],
            dilationWFactor=w.dilation[1],
            depthMultiplier=multiplier,
            fusedActivationFunction=draws.activation(),
        )
        x, result = draws.values(2, *image, channels), (2, *w.results(image), channels * multiplier)
        inputs = [(x, source), *constants]
        assert_equal(tmp_path / "m", "DEPTHWISE_CONV_2D", inputs, result, dtype, target, settings)


@micro
@TYPES
def test_transpose_conv(dtype, tmp_path):
    for seed in range(24):
        draws = Draws(seed, dtype)
        (rows, columns), w = window(draws)
        w = Window(w.size, w.stride, same=w.same)
        parts = zip((rows, columns), w.stride, w.size, strict=True)
        image = tuple(n * s if w.same else (n - 1) * s + k for n, s, k in parts)
        channels, filters = map(int, draws.rng.integers(1, 5, 2))
        source = draws.format()
        constants, scales = weights_and_bias(draws, (filters, *w.size, channels), 0, source)
        target = result_format(draws, source, scales, channels * np.prod(w.size))
        settings = options("TransposeConv", **movement(w), fusedActivationFunction=draws.activation())
        result = (2, *image, filters)
        x = draws.values(2, rows, columns, channels)
        inputs = [(np.array(result, np.int32), None, True), constants[0], (x, source), *constants[1:]]
        assert_equal(tmp_path / "m", "TRANSPOSE_CONV", inputs, result, dtype, target, settings)


def test_a_convolution_is_right_to_a_step():
    rng = np.random.default_rng(0)
    x, weights = (
        rng.integers(-128, 128, (1, 1, 9, 3)).astype(np.int8),
        rng.integers(-9, 9, (2, 1, 2, 3)).astype(np.int8),
    )
    source, w_format, target = Quantization(0.1, 5), Quantization(0.02, 0), Quantization(0.3, -7)
    made = convolution.conv(x, weights, None, source, w_format, target, Window((1, 2), (1, 1)))
    real, w = (x - 5.0) * 0.1, weights * 0.02
    wanted = np.stack([np.einsum("kc,fkc->f", real[0, 0, t : t + 2], w[:, 0]) for t in range(8)])
    np.testing.assert_allclose((made[0, 0] + 7.0) * 0.3, np.clip(wanted, -121 * 0.3, 134 * 0.3), atol=0.151)
