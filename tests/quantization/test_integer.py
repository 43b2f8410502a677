"""The integer operators against the real numbers that they stand for; `test_simulator` holds them to the kernels."""

import numpy as np
import pytest

from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import Quantization, affine_int8, symmetric_int16

RNG = np.random.default_rng(0)


def real(x, q):
    return (x.astype(float) - q.zero_point) * q.scale


@pytest.mark.parametrize(("dtype", "form"), [(np.int8, affine_int8), (np.int16, symmetric_int16)])
def test_products_and_sums_are_right_to_a_step(dtype, form):
    x_format, target = form(-1.3, 0.9), form(-4.0, 4.0)
    limits = np.iinfo(dtype)
    x = RNG.integers(-limits.max, limits.max, (20, 7)).astype(dtype)
    weights = RNG.integers(-127, 128, (5, 7)).astype(np.int8)
    scales = RNG.uniform(0.001, 0.004, 5) if dtype == np.int8 else np.float64(0.003)
    w_format = Quantization(scales if dtype == np.int8 else float(scales), 0, 0 if dtype == np.int8 else None)
    bias = RNG.integers(-500, 500, 5).astype(np.int32 if dtype == np.int8 else np.int64)
    y = integer.fully_connected(x, weights, bias, x_format, w_format, target)
    exact = real(x, x_format) @ (weights * np.reshape(scales, (-1, 1))).T + bias * x_format.scale * scales
    # int16 products are scaled by 15 bits.
    rounding = target.scale * 0.51 + (2.0**-15 * np.abs(exact).max() if dtype == np.int16 else 0)
    np.testing.assert_allclose(
        real(y, target), np.clip(exact, -4.01, 4.01), atol=rounding + 0.02 * (dtype == np.int8)
    )
    assert y.dtype == dtype
    other = form(-0.3, 0.7)
    z = RNG.integers(-limits.max, limits.max, (20, 5)).astype(dtype)
    total = integer.add(y, z, target, other, form(-5.0, 5.0))
    step = form(-5.0, 5.0).scale
    np.testing.assert_allclose(
        real(total, form(-5.0, 5.0)), np.clip(real(y, target) + real(z, other), -5.0, 5.0), atol=0.6 * step
    )


@pytest.mark.parametrize(("dtype", "form"), [(np.int8, affine_int8), (np.int16, symmetric_int16)])
def test_activations_are_right_to_a_step(dtype, form):
    source, limits = form(-7.9, 7.9), np.iinfo(dtype)
    x = np.arange(-limits.max, limits.max + 1).astype(dtype)
    a = real(x, source)
    tanh_step, logistic_step = (1 / 128, 1 / 256) if dtype == np.int8 else (1 / 32768, 1 / 32768)
    zero_point = -128 if dtype == np.int8 else 0
    # int16: a table read between 256 points; its error is about six steps.
    steps = 1 if dtype == np.int8 else 8
    np.testing.assert_allclose(integer.tanh(x, source) * tanh_step, np.tanh(a), atol=steps * tanh_step)
    logistic = (integer.logistic(x, source).astype(float) - zero_point) * logistic_step
    np.testing.assert_allclose(logistic, 1 / (1 + np.exp(-a)), atol=steps * logistic_step)


def test_fused_activations_clamp():
    q = affine_int8(-2.0, 8.0)
    x = np.arange(-128, 128)
    assert real(integer.clamp(x, q, np.int8, "RELU"), q).min() == 0
    assert real(integer.clamp(x, q, np.int8, "RELU6"), q).max() == pytest.approx(6, abs=q.scale)
    assert np.abs(real(integer.clamp(x, q, np.int8, "RELU_N1_TO_1"), q)).max() == pytest.approx(
        1, abs=q.scale
    )


def test_formats_are_changed_by_rounding():
    source, target = affine_int8(-1.0, 1.0), symmetric_int16(-1.0, 1.0)
    x = np.arange(-128, 128).astype(np.int8)
    wide = integer.requantize(x, source, target, np.int16)
    np.testing.assert_allclose(real(wide, target), real(x, source), atol=0.51 * target.scale + 0.005)
    np.testing.assert_array_equal(integer.requantize(wide, target, source, np.int8), x)
    np.testing.assert_array_equal(integer.quantize(real(x, source), source, np.int8), x)
