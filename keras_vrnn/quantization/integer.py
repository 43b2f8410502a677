"""Products, sums, tanh and logistic of integer tensors, exactly as TFLite Micro's reference kernels compute them.

real = scale · (integer − zero point)

Each function takes and returns arrays of integers, with the number formats of its operands. Sums have 32 bits at int8
and 64 at int16; `fixed_point` brings a sum to the scale of the result. In a graph of TensorFlow, where formats are
tensors too, integers of any type are int64 tensors, and `dtype` states the type.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.formats import Quantization

# logistic(k / 24) · 65536, k = 0 … 255: the table between whose values the int16 kernels interpolate. At some k it
# holds the next larger integer, which makes the interpolation closer.
LOGISTIC_TABLE = np.floor(65536 / (1 + np.exp(-np.arange(256) / 24)) + 0.5).astype(np.int64)
LOGISTIC_TABLE[
    np.fromstring(
        "4 8 12 14 15 16 17 19 20 21 22 25 27 28 29 30 31 33 34 35 37 39 40 41 43 44 45 46 49 50 54 62 63 64 66 82 86 "
        "93 100 103 112 116 135 255",
        int,
        sep=" ",
    )
] += 1


def requantize(x, source: Quantization, target: Quantization, dtype):
    """QUANTIZE: the same real numbers in another integer format."""
    mantissa, exponent = fixed.factor(f32(source.scale) / f32(target.scale))
    return clamp(
        fixed.scale(xp.astype(x, np.int64) - source.zero_point, mantissa, exponent) + target.zero_point,
        target,
        dtype,
    )


def quantize(real, target: Quantization, dtype):
    """QUANTIZE of float32: round(real / scale) + zero point, halves away from zero."""
    return clamp(_nearest(real, target), target, dtype)


def dequantize(integers, source: Quantization):
    """DEQUANTIZE: scale · (integer − zero point) in float32."""
    shifted = xp.astype(xp.astype(integers, np.int64) - source.zero_point, np.float32)
    return shifted * xp.astype(source.scale, np.float32)


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
    reals = product_factors(source, weights_format, target, single=True)
    # float64 holds every sum of products exactly: 2^7 · 2^15 · 2^30 inputs would be too many for a file.
    sums = (x.astype(np.float64) - source.zero_point) @ weights.astype(np.float64).T
    return from_sums(sums, bias, reals, target, x.dtype, activation, narrow)


def product_factors(source, weights_format, target, single):
    """Returns what a sum of products is multiplied by for the result's scale, one number or one per output channel.

    Args:
        source, weights_format, target: formats of the input, of the weights and of the result.
        single: whether the kernel multiplies the two scales in float32 if all weights have one.
    """
    weights = f32(weights_format.scale)
    products = f32(source.scale) * weights
    if single and xp.size(weights) == 1:
        products = f32(products)
    return products / f32(target.scale)


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
    sums = xp.astype(sums, np.int64) + (0 if bias is None else xp.astype(bias, np.int64))
    narrow = narrow or dtype == np.int8 or (bias is not None and bias.dtype == np.int32)
    return rescaled(sums, fixed.factor(reals), target, dtype, not narrow, activation)


def rescaled(sums, factor, target, dtype, long, activation=None):
    """Brings sums of products, int64, to the scale of the result; `long` sums are int64 in the kernel too."""
    scaled = fixed.scale_long(sums, *factor) if long else fixed.scale(fixed.wrap(sums), *factor)
    return clamp(scaled + target.zero_point, target, dtype, activation)


def batch_matmul(x, y, x_format, y_format, target):
    """BATCH_MATMUL: x·y over the last two axes, both computed."""
    real = float(np.float32(x_format.scale) * np.float32(y_format.scale)) / f32(target.scale)
    sums = (x.astype(np.float64) - x_format.zero_point) @ (y.astype(np.float64) - y_format.zero_point)
    return from_sums(sums, None, real, target, x.dtype)


@dataclass(frozen=True)
class Addition:
    """ADD: both terms brought to twice the larger scale, added, and brought to the result's.

    Attributes:
        formats: of the two terms.
        target: the result's format.
        dtype: int8 or int16.
        factors: of the terms and of their sum.
    """

    formats: tuple[Quantization, Quantization]
    target: Quantization
    dtype: Any
    factors: tuple[Any, Any, Any]

    @classmethod
    def of(cls, x_format, y_format, target, dtype):
        """Returns the addition for given formats."""
        x_scale, y_scale = f32(x_format.scale), f32(y_format.scale)
        twice = 2 * xp.maximum(x_scale, y_scale)
        total = twice / ((1 << cls._left(dtype)) * f32(target.scale))
        factors = tuple(fixed.factor(real) for real in (x_scale / twice, y_scale / twice, total))
        return cls((x_format, y_format), target, dtype, factors)

    @staticmethod
    def _left(dtype):
        return 20 if dtype == np.int8 else 15

    def term(self, values, position):
        """Returns the values of the term at a position, 0 or 1, in the common scale."""
        centred = xp.astype(values, np.int64) - self.formats[position].zero_point
        return fixed.scale(xp.left_shift(centred, self._left(self.dtype)), *self.factors[position])

    def total(self, x, y, activation=None):
        """Returns the sum of two values of `term`."""
        return clamp(self.unclamped(x, y), self.target, self.dtype, activation)

    def unclamped(self, x, y):
        """Returns the sum as an integer that may be outside of its type."""
        return fixed.scale(x + y, *self.factors[2]) + self.target.zero_point


def add(x, y, x_format, y_format, target, activation=None):
    """ADD of two arrays; see `Addition`."""
    addition = Addition.of(x_format, y_format, target, x.dtype)
    return addition.total(addition.term(x, 0), addition.term(y, 1), activation)


def sub(x, y, x_format, y_format, target, activation=None):
    """SUB: as `add`."""
    addition = Addition.of(x_format, y_format, target, x.dtype)
    return addition.total(addition.term(x, 0), -addition.term(y, 1), activation)


def mul(x, y, x_format, y_format, target, activation=None, dtype=None):
    """MUL: the product of the integers without their zero points, brought to the result's scale."""
    factor = fixed.factor(f32(x_format.scale) * f32(y_format.scale) / f32(target.scale))
    x, y, dtype = xp.astype(x, np.int64), xp.astype(y, np.int64), x.dtype if dtype is None else dtype
    product = (x - x_format.zero_point) * (y - y_format.zero_point)
    return clamp(fixed.scale(product, *factor) + target.zero_point, target, dtype, activation)


def div(x, y, x_format, y_format, target, activation=None):
    """DIV: x times the reciprocal of y. The kernel does not define the result for y = 0."""
    one, other, result = (f32(form.scale) for form in (x_format, y_format, target))
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
    twice = 2 * max(f32(x_format.scale), f32(y_format.scale))

    def term(values, form):
        mantissa, exponent = fixed.factor(f32(form.scale) / twice)
        return fixed.scale((values.astype(np.int64) - form.zero_point) << left, mantissa, exponent)

    real = twice * twice / float(np.float32(1 << 2 * left) * np.float32(target.scale))
    mantissa, exponent = fixed.factor(real)
    difference = term(x, x_format) - term(y, y_format)
    return clamp(
        fixed.scale(fixed.wrap(difference**2), mantissa, exponent) + target.zero_point, target, x.dtype
    )


def comparable(x, source):
    """Returns int8 values as the comparisons take them: real values, rounded to steps of 1/256."""
    mantissa, exponent = fixed.factor(f32(source.scale))
    return fixed.scale((x.astype(np.int64) - source.zero_point) << 8, mantissa, exponent)


def tanh(x, source, dtype=None):
    """TANH: at int8 by fixed-point arithmetic, at int16 from the table of the logistic function."""
    if (x.dtype if dtype is None else dtype) == np.int8:
        q0, inside, sign = _on_int8(fixed.tanh, x, source)
        values = xp.clip(fixed.divide_by_power(q0, 31 - 7), -128, 127)
        return xp.narrow(xp.where(inside, values, xp.where(sign < 0, -128, 127)), np.int8)
    data = _on_table(x, source, allow_shift=(0, 1))
    high, part = xp.right_shift(xp.abs(data), 8), xp.bitwise_and(xp.abs(data), 0xFF)
    value = xp.where(high >= 255, 0xFFFF << 8, _between(high, part, 8))
    value = xp.where(data >= 0, value - (1 << 23) + (1 << 7), -value + (1 << 23) + (1 << 7) - 1)
    return xp.narrow(xp.right_shift(value, 8), np.int16)


def logistic(x, source, dtype=None):
    """LOGISTIC, as `tanh`."""
    if (x.dtype if dtype is None else dtype) == np.int8:
        q0, inside, sign = _on_int8(fixed.logistic, x, source)
        values = xp.clip(fixed.divide_by_power(q0, 31 - 8) - 128, -128, 127)
        return xp.narrow(xp.where(inside, values, xp.where(sign < 0, -128, 127)), np.int8)
    data = _on_table(x, source, allow_shift=(0,))
    high, part = xp.right_shift(xp.abs(data), 9), xp.bitwise_and(xp.abs(data), 0x1FF)
    value = xp.where(high >= 255, 0x7FFF << 10, _between(high, part, 9))
    value = xp.where(data >= 0, value + (1 << 9), (1 << 25) - value + (1 << 9) - 1)
    return xp.narrow(xp.right_shift(value, 10), np.int16)


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
        low = xp.maximum(_nearest(real[0], target), low)
        high = high if real[1] is None else xp.minimum(_nearest(real[1], target), high)
    return xp.narrow(xp.clip(x, low, high), dtype)


def real_ends(quantization, dtype):
    """Returns the real numbers of the least and the largest integer of a type, which products may reach."""
    limits = np.iinfo(dtype)
    return tuple(
        quantization.scale * xp.astype(end - quantization.zero_point, np.float64)
        for end in (limits.min, limits.max)
    )


def _nearest(real, target):
    """real / scale + zero point in float32, halves away from zero."""
    scaled = xp.astype(real, np.float32) / xp.astype(target.scale, np.float32)
    rounded = xp.sign(scaled) * xp.floor(xp.abs(scaled) + np.float32(0.5))
    # Beyond these, integers saturate in any type; the conversion of larger numbers is undefined.
    return xp.astype(xp.clip(rounded, -(2.0**30), 2.0**30), np.int64) + target.zero_point


def _on_int8(function, x, source):
    """A function at four integer bits: its value without integer bits, where x is in its range, and x's sign."""
    mantissa, exponent = fixed.factor(f32(source.scale) * (1 << 27))
    radius = xp.right_shift(
        xp.left_shift(exponent * 0 + (15 << 27), xp.maximum(-exponent, 0)), xp.maximum(exponent, 0)
    )
    centred = xp.astype(x, np.int64) - source.zero_point
    inside = xp.abs(centred) < radius
    return function(fixed.scale(xp.where(inside, centred, 0), mantissa, exponent), 4), inside, centred


def _on_table(x, source, allow_shift):
    """An int16 input in steps of 1 / (3 · 4096), in which the table is read."""
    multiplier, shift = table_factor(source, allow_shift)
    half = xp.right_shift(xp.left_shift(shift * 0 + 1, shift), 1)
    return xp.right_shift(fixed.wrap(xp.astype(x, np.int64) * multiplier + half), shift)


def table_factor(source, allow_shift):
    """Returns (multiplier, shift): integers of a format times multiplier / 2^shift are steps of 1 / (3 · 4096).

    Args:
        source: the format.
        allow_shift: k for which a scale of 2^(k − 12) is read exactly: (0, 1) for TANH, (0,) for LOGISTIC.
    """
    scale = xp.astype(f32(source.scale), np.float64)
    fraction, exponent = xp.frexp(scale)
    exact = xp.astype(exponent, np.int64) + 11  # of a scale that is a power of two: 2^exact steps
    # The multiplier is doubled until it is above 32767 / 2, 31 times at most.
    fraction_3, exponent_3 = xp.frexp(scale * 4096.0 * 3.0)
    bits = xp.where(fraction_3 > 16383.5 / 16384, xp.astype(exponent_3, np.int64) * 0 + 14, 15)
    shift = xp.clip(bits - xp.astype(exponent_3, np.int64), 0, 31)
    multiplier = xp.astype(
        scale * 4096.0 * 3.0 * xp.astype(xp.left_shift(shift * 0 + 1, shift), np.float64), np.int64
    )
    for power in allow_shift:
        is_power = xp.logical_and(fraction == 0.5, exact == power)
        multiplier, shift = xp.where(is_power, 3 << power, multiplier), xp.where(is_power, 0, shift)
    return multiplier, shift


def _between(index, part, bits):
    index = xp.minimum(index, 254)  # beyond, the callers saturate
    low, high = xp.take(LOGISTIC_TABLE, index), xp.take(LOGISTIC_TABLE, index + 1)
    return xp.left_shift(low, bits) + part * (high - low)


def f32(scale):
    """A scale as the file holds it, as float64."""
    return xp.astype(xp.astype(scale, np.float32), np.float64)
