"""Products, sums, tanh and logistic of integer tensors, exactly as TFLite Micro's reference kernels compute them.

real = scale · (integer − zero point)

Each function takes and returns arrays of integers, with the number formats of its operands. Sums have 32 bits at int8
and 64 at int16; `fixed_point` brings a sum to the scale of the result.
"""

import math

import numpy as np

from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.formats import Quantization

# logistic(k / 24) · 65536, k = 0 … 255: the table between whose values the int16 kernels interpolate. At some k it
# holds the next larger integer, which makes the interpolation closer.
_LOGISTIC_TABLE = np.floor(65536 / (1 + np.exp(-np.arange(256) / 24)) + 0.5).astype(np.int64)
_LOGISTIC_TABLE[
    np.fromstring(
        "4 8 12 14 15 16 17 19 20 21 22 25 27 28 29 30 31 33 34 35 37 39 40 41 43 44 45 46 49 50 54 62 63 64 66 82 86 "
        "93 100 103 112 116 135 255",
        int,
        sep=" ",
    )
] += 1


def requantize(x, source: Quantization, target: Quantization, dtype):
    """QUANTIZE: the same real numbers in another integer format."""
    mantissa, exponent = fixed.factor(_f32(source.scale) / _f32(target.scale))
    return _saturated(
        fixed.scale(x.astype(np.int64) - source.zero_point, mantissa, exponent) + target.zero_point, dtype
    )


def quantize(real, target: Quantization, dtype):
    """QUANTIZE of float32: round(real / scale) + zero point, halves away from zero."""
    scaled = np.asarray(real, np.float32) / np.float32(target.scale)
    rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)
    return _saturated(rounded.astype(np.float64) + target.zero_point, dtype)


def fully_connected(x, weights, bias, source, weights_format, target, activation=None, narrow=False):
    """FULLY_CONNECTED: x·Wᵀ + b over the last axis.

    Args:
        x: int8 or int16, (..., inputs).
        weights: int8, (outputs, inputs).
        bias: int32 or int64, (outputs,), in the scale of the products; None for none.
        source, weights_format, target: formats of x, of the weights and of the result.
        activation: as in `clamp`.
        narrow: whether sums have 32 bits without a bias too; see `from_sums`.

    Returns:
        Integers of the type of `x`, (..., outputs).
    """
    reals = product_factors(source, weights_format, target, len(weights), single=True)
    # float64 holds every sum of products exactly: 2^7 · 2^15 · 2^30 inputs would be too many for a file.
    sums = (x.astype(np.float64) - source.zero_point) @ weights.astype(np.float64).T
    return from_sums(sums, bias, reals, target, x.dtype, activation, narrow)


def product_factors(source, weights_format, target, channels, single):
    """Returns what a sum of products is multiplied by for the result's scale, for each output channel.

    Args:
        source, weights_format, target: formats of the input, of the weights and of the result.
        channels: how many output channels there are.
        single: whether the kernel multiplies the two scales in float32 if all weights have one.
    """
    scales = np.broadcast_to(np.asarray(weights_format.scale, np.float32), channels)
    products = np.float32(source.scale) * scales
    if np.size(weights_format.scale) > 1 or not single:
        products = _f32(source.scale) * scales.astype(np.float64)
    return products.astype(np.float64) / _f32(target.scale)


def from_sums(sums, bias, reals, target, dtype, activation=None, narrow=False):
    """Brings sums of products to the format of the result.

    Args:
        sums: integers, (..., channels), of any type that holds them exactly.
        bias: int32 or int64, (channels,), in the scale of the products; None for none.
        reals: the factors of the channels, or one.
        target: the format of the result.
        dtype: its type; the kernels of int16 have sums of 64 bits.
        activation: as in `clamp`.
        narrow: whether sums have 32 bits at int16 too, as a bias of int32 does.
    """
    mantissa, exponent = fixed.factors(reals)
    sums = np.asarray(sums).astype(np.int64) + (0 if bias is None else bias.astype(np.int64))
    narrow = narrow or dtype == np.int8 or (bias is not None and bias.dtype == np.int32)
    scaled = (
        fixed.scale(fixed.wrap(sums), mantissa, exponent)
        if narrow
        else fixed.scale_long(sums, mantissa, exponent)
    )
    return clamp(scaled + target.zero_point, target, dtype, activation)


def batch_matmul(x, y, x_format, y_format, target):
    """BATCH_MATMUL: x·y over the last two axes, both computed."""
    real = float(np.float32(x_format.scale) * np.float32(y_format.scale)) / _f32(target.scale)
    sums = (x.astype(np.float64) - x_format.zero_point) @ (y.astype(np.float64) - y_format.zero_point)
    return from_sums(sums, None, real, target, x.dtype)


def add(x, y, x_format, y_format, target, activation=None):
    """ADD: both terms brought to twice the larger scale, added, and brought to the result's."""
    return _sum(x, y, x_format, y_format, target, activation, sign=1)


def sub(x, y, x_format, y_format, target, activation=None):
    """SUB: as `add`."""
    return _sum(x, y, x_format, y_format, target, activation, sign=-1)


def _sum(x, y, x_format, y_format, target, activation, sign):
    left = 20 if x.dtype == np.int8 else 15
    twice = 2 * max(_f32(x_format.scale), _f32(y_format.scale))

    def term(values, form):
        mantissa, exponent = fixed.factor(_f32(form.scale) / twice)
        return fixed.scale((values.astype(np.int64) - form.zero_point) << left, mantissa, exponent)

    mantissa, exponent = fixed.factor(twice / ((1 << left) * _f32(target.scale)))
    total = fixed.scale(term(x, x_format) + sign * term(y, y_format), mantissa, exponent)
    return clamp(total + target.zero_point, target, x.dtype, activation)


def mul(x, y, x_format, y_format, target, activation=None):
    """MUL: the product of the integers without their zero points, brought to the result's scale."""
    mantissa, exponent = fixed.factor(_f32(x_format.scale) * _f32(y_format.scale) / _f32(target.scale))
    product = (x.astype(np.int64) - x_format.zero_point) * (y.astype(np.int64) - y_format.zero_point)
    return clamp(fixed.scale(product, mantissa, exponent) + target.zero_point, target, x.dtype, activation)


def div(x, y, x_format, y_format, target, activation=None):
    """DIV: x times the reciprocal of y. The kernel does not define the result for y = 0."""
    one, other, result = (_f32(form.scale) for form in (x_format, y_format, target))
    mantissa, exponent = fixed.factor(one / (other * result))
    x, y = x.astype(np.int64) - x_format.zero_point, y.astype(np.int64) - y_format.zero_point
    x, y = np.where(y < 0, -x, x), np.abs(y)
    inverse, shift = fixed.reciprocal(np.maximum(y, 1), 31)
    headroom = fixed.leading_zeros(np.where(x < 0, ~x, x)) - 1
    quotient = fixed.multiply_high(x << headroom, inverse)
    made = fixed.divide_by_power(fixed.multiply_high(quotient, mantissa), shift + headroom - exponent)
    return clamp(made + target.zero_point, target, np.int8, activation)


def squared_difference(x, y, x_format, y_format, target):
    """SQUARED_DIFFERENCE: both terms brought to twice the larger scale, subtracted and squared."""
    left = 7 if x.dtype == np.int8 else 0
    twice = 2 * max(_f32(x_format.scale), _f32(y_format.scale))

    def term(values, form):
        mantissa, exponent = fixed.factor(_f32(form.scale) / twice)
        return fixed.scale((values.astype(np.int64) - form.zero_point) << left, mantissa, exponent)

    real = twice * twice / float(np.float32(1 << 2 * left) * np.float32(target.scale))
    mantissa, exponent = fixed.factor(real)
    difference = term(x, x_format) - term(y, y_format)
    return clamp(
        fixed.scale(fixed.wrap(difference**2), mantissa, exponent) + target.zero_point, target, x.dtype
    )


def comparable(x, source):
    """Returns int8 values as the comparisons take them: real values, rounded to steps of 1/256."""
    mantissa, exponent = fixed.factor(_f32(source.scale))
    return fixed.scale((x.astype(np.int64) - source.zero_point) << 8, mantissa, exponent)


def tanh(x, source):
    """TANH: at int8 by fixed-point arithmetic, at int16 from the table of the logistic function."""
    if x.dtype == np.int8:
        q0, inside, sign = _on_int8(fixed.tanh, x, source)
        values = np.clip(fixed.divide_by_power(q0, 31 - 7), -128, 127)
        return np.where(inside, values, np.where(sign < 0, -128, 127)).astype(np.int8)
    data = _on_table(x, source, allow_shift=(0, 1))
    high, part = np.abs(data) >> 8, np.abs(data) & 0xFF
    value = np.where(high >= 255, 0xFFFF << 8, _between(high, part, 8))
    value = np.where(data >= 0, value - (1 << 23) + (1 << 7), -value + (1 << 23) + (1 << 7) - 1)
    return (value >> 8).astype(np.int16)


def logistic(x, source):
    """LOGISTIC, as `tanh`."""
    if x.dtype == np.int8:
        q0, inside, sign = _on_int8(fixed.logistic, x, source)
        values = np.clip(fixed.divide_by_power(q0, 31 - 8) - 128, -128, 127)
        return np.where(inside, values, np.where(sign < 0, -128, 127)).astype(np.int8)
    data = _on_table(x, source, allow_shift=(0,))
    high, part = np.abs(data) >> 9, np.abs(data) & 0x1FF
    value = np.where(high >= 255, 0x7FFF << 10, _between(high, part, 9))
    value = np.where(data >= 0, value + (1 << 9), (1 << 25) - value + (1 << 9) - 1)
    return (value >> 10).astype(np.int16)


def clamp(x, target, dtype, activation=None):
    """Keeps integers in their type, and in the range that a fused activation allows.

    Args:
        x: integers.
        target: their format.
        dtype: int8 or int16.
        activation: None, "RELU", "RELU6" or "RELU_N1_TO_1".
    """
    limits = np.iinfo(dtype)
    low, high = limits.min, limits.max
    if activation is not None:
        real = {"RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}[activation]
        low = max(low, _nearest(real[0], target))
        high = high if real[1] is None else min(high, _nearest(real[1], target))
    return np.clip(x, low, high).astype(dtype)


def _nearest(real, target):
    return target.zero_point + fixed.round_half_away(float(np.float32(real) / np.float32(target.scale)))


def _on_int8(function, x, source):
    """A function at four integer bits: its value without integer bits, where x is in its range, and x's sign."""
    mantissa, exponent = fixed.factor(_f32(source.scale) * (1 << 27))
    radius = math.floor(15 * (1 << 27) / 2.0**exponent)
    centred = x.astype(np.int64) - source.zero_point
    inside = np.abs(centred) < radius
    return function(fixed.scale(np.where(inside, centred, 0), mantissa, exponent), 4), inside, centred


def _on_table(x, source, allow_shift):
    """An int16 input in steps of 1 / (3 · 4096), in which the table is read."""
    scale = _f32(source.scale)
    fraction, exponent = math.frexp(scale)
    shift = 12 + exponent - 1
    if fraction == 0.5 and shift in allow_shift:  # a power of two
        return x.astype(np.int64) * (3 << shift)
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    rounding = 1 << (shift - 1) if shift > 0 else 0
    return fixed.wrap(x.astype(np.int64) * int(multiplier) + rounding) >> shift


def _between(index, part, bits):
    index = np.minimum(index, 254)  # beyond, the callers saturate
    low, high = _LOGISTIC_TABLE[index], _LOGISTIC_TABLE[index + 1]
    return (low << bits) + part * (high - low)


def _saturated(x, dtype):
    limits = np.iinfo(dtype)
    return np.clip(x, limits.min, limits.max).astype(dtype)


def _f32(scale):
    """A scale as the file holds it."""
    return float(np.float32(scale))
