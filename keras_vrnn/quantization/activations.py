"""The functions of one number beside tanh and logistic, exactly as TFLite Micro's reference kernels compute them."""

import math

import numpy as np

from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.integer import clamp


def relu(x, source: Quantization, target: Quantization):
    """RELU: max(x, 0) in the format of the result."""
    mantissa, exponent = fixed.factor(_quotient(source, target))
    made = fixed.scale(x.astype(np.int64) - source.zero_point, mantissa, exponent)
    return clamp(made + target.zero_point, target, x.dtype, "RELU")


def relu6(x, source: Quantization):
    """RELU6: min(max(x, 0), 6) in the format of x, whatever the result's is."""
    return clamp(x, source, x.dtype, "RELU6")


def leaky_relu(x, source: Quantization, target: Quantization, alpha):
    """LEAKY_RELU: x for x ≥ 0, alpha·x below."""
    slope = float(np.float32(source.scale)) * float(np.float32(alpha)) / float(np.float32(target.scale))
    centred = x.astype(np.int64) - source.zero_point
    above = fixed.scale(centred, *fixed.factor(_quotient(source, target)))
    below = fixed.scale(centred, *fixed.factor(abs(slope)))
    made = np.where(centred >= 0, above, -below if slope < 0 else below)
    return clamp(made + target.zero_point, target, x.dtype)


def prelu(x, alpha, source: Quantization, alpha_format: Quantization, target: Quantization):
    """PRELU: x for x ≥ 0, alpha·x below, with an alpha for each channel or element."""
    one, other, result = (float(np.float32(form.scale)) for form in (source, alpha_format, target))
    centred = x.astype(np.int64) - source.zero_point
    product = centred * (alpha.astype(np.int64) - alpha_format.zero_point)
    above = fixed.scale(centred, *fixed.factor(one / result))
    below = fixed.scale(product, *fixed.factor(one * other / result))
    return clamp(np.where(centred >= 0, above, below) + target.zero_point, target, x.dtype)


def elu(x, source: Quantization, target: Quantization):
    """ELU of int8: x for x ≥ 0, exp(x) − 1 below, from float32 numbers."""
    real = np.float32(source.scale) * (x.astype(np.float32) - np.float32(source.zero_point))
    real = np.where(real < 0, exp(np.minimum(real, 0)) - np.float32(1), real)
    scaled = real * (np.float32(1) / np.float32(target.scale))
    return clamp(round_half_away(scaled) + target.zero_point, target, x.dtype)


def hard_swish(x, source: Quantization, target: Quantization):
    """HARD_SWISH of int8: x · min(max(x + 3, 0), 6) / 6, in 16 bits."""
    fine = np.float32(1 / 128) * np.float32(source.scale)
    multiplier, shift = _short(*fixed.factor(float(fine / np.float32(target.scale))))
    gate_multiplier, gate_shift = _short(*fixed.factor(float(fine / (np.float32(3) / np.float32(32768)))))
    shifted = _int16((x.astype(np.int64) - source.zero_point) << 7)
    value = _multiply_high_short(shifted, multiplier)
    # x / 3 between −1 and 1.
    gate = _saturate_short(shifted << max(gate_shift - 1, 0))
    gate = _multiply_high_short(gate, gate_multiplier)
    if gate_shift > 0:
        gate = _saturate_short(gate << 1)
    elif gate_shift < 0:
        gate = fixed.divide_by_power(gate, -gate_shift)
    gate = (gate + (1 << 15)) >> 1
    product = gate * value
    product = np.where(product >= 0, product >> 15, -(-product >> 15))  # C's division truncates
    return clamp(fixed.divide_by_power(product, -shift) + target.zero_point, target, x.dtype)


def absolute(x, source: Quantization, target: Quantization):
    """ABS: |x| in the format of the result."""
    value = np.abs(x.astype(np.int64) - source.zero_point)
    if np.float32(source.scale) != np.float32(target.scale):
        value = fixed.scale(value, *fixed.factor(_quotient(source, target)))
    return clamp(value + target.zero_point, target, x.dtype)


def inverse_sqrt(x, source: Quantization, target: Quantization):
    """RSQRT: 1/sqrt(x); the largest integer where x is 0."""
    centred = x.astype(np.int64) - source.zero_point
    if (centred < 0).any():
        raise ValueError("RSQRT is defined for positive values only")
    shift = 20
    root = math.sqrt(np.float32(source.scale)) * float(np.float32(target.scale))
    mantissa, exponent = fixed.factor(1.0 / root)
    inverse, power = fixed.inverse_sqrt(centred)
    made = fixed.scale(np.ones_like(centred), inverse, power + shift)
    made = fixed.scale(made, mantissa, exponent - shift) + target.zero_point
    return clamp(np.where(centred == 0, np.iinfo(x.dtype).max, made), target, x.dtype)


def l2_normalization(x, source: Quantization, target: Quantization):
    """L2_NORMALIZATION of int8: x / ‖x‖ over the last axis, in steps of 1/128."""
    centred = x.astype(np.int64) - source.zero_point
    inverse, power = fixed.inverse_sqrt((centred**2).sum(axis=-1, keepdims=True))
    return clamp(fixed.scale(centred, inverse, power + 7), target, x.dtype)


def exp(real):
    """Returns exp of float32 numbers as C's `expf` rounds it."""
    return np.exp(real.astype(np.float64)).astype(np.float32)


def round_half_away(real):
    """Rounds float32 numbers to the nearest integer, halves away from zero, as C's `round`."""
    whole = np.trunc(real)
    return (whole + np.where(np.abs(real - whole) >= 0.5, np.sign(real), 0)).astype(np.int64)


def _quotient(source, target):
    """The quotient of two scales as a file holds them."""
    return float(np.float32(source.scale)) / float(np.float32(target.scale))


def _short(mantissa, exponent):
    """A mantissa of 15 bits."""
    limit = fixed.INT32_MAX - (1 << 15)
    return (32767 if mantissa >= limit else (mantissa + (1 << 15)) >> 16), exponent


def _int16(x):
    """What int16 arithmetic keeps of x."""
    return (x + (1 << 15)) % (1 << 16) - (1 << 15)


def _saturate_short(x):
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


def _multiply_high_short(a, b):
    """`multiply_high` of int16 numbers."""
    return np.minimum((a * b + (1 << 14)) >> 15, (1 << 15) - 1)
