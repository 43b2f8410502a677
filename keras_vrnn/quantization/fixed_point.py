"""Fixed-point arithmetic as TFLite Micro's reference kernels do it, on arrays of int64 that hold int32 values.

A real factor is a mantissa of 31 bits and an exponent; a product is rounded twice, once to 31 bits and once by the
shift. The functions of real numbers (exp, tanh, logistic) are those of the gemmlowp library (Jacob & Warden 2015),
which evaluates them in int32 with Taylor series, barrel shifts and Newton's division.

A number with `n` integer bits stands for raw · 2^(n − 31). Those that a recurrence needs take NumPy arrays or
TensorFlow tensors.
"""

import math

import numpy as np

from keras_vrnn.quantization import arrays as xp

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def factor(real):
    """Returns (mantissa, exponent) of positive real factors: mantissa · 2^(exponent − 31), as int64.

    A factor below 2^-32 becomes zero, as in the kernels' `QuantizeMultiplier`.
    """
    fraction, exponent = xp.frexp(xp.astype(real, np.float64))
    mantissa = xp.astype(xp.floor(fraction * float(1 << 31) + 0.5), np.int64)
    exponent = xp.astype(exponent, np.int64)
    whole = mantissa == 1 << 31
    mantissa, exponent = xp.where(whole, 1 << 30, mantissa), xp.where(whole, exponent + 1, exponent)
    tiny = xp.logical_or(exponent < -31, mantissa == 0)
    return xp.where(tiny, 0, mantissa), xp.where(tiny, 0, exponent)


def round_half_away(real):
    """Rounds to the nearest integer, halves away from zero, as C's `round`; Python's rounds them to even."""
    return int(math.copysign(math.floor(abs(real) + 0.5), real))


def wrap(x):
    """Returns what int32 arithmetic keeps of x: overflow wraps around."""
    return xp.right_shift(xp.left_shift(xp.astype(x, np.int64), 32), 32)


def multiply_high(a, b):
    """Returns a·b / 2^31, rounded to nearest, halves up; −2^31 · −2^31 saturates.

    The kernels' `SaturatingRoundingDoublingHighMul`.
    """
    # The kernels add 1 − 2^30 to a negative product and truncate, which comes to the same.
    return xp.minimum(xp.right_shift(xp.astype(a, np.int64) * b + (1 << 30), 31), INT32_MAX)


def divide_by_power(x, exponent):
    """Returns x / 2^exponent, rounded to nearest, halves away from zero: the kernels' `RoundingDivideByPOT`.

    Beyond 31 bits, where C leaves it open, the result is that of an x86 processor, whose shifts take five bits.
    """
    exponent = xp.astype(exponent, np.int64)
    shift, beyond = xp.bitwise_and(exponent, 31), exponent > 31
    whole = xp.left_shift(exponent * 0 + 1, shift)
    half = xp.where(beyond, whole, xp.right_shift(whole, 1))
    less = xp.where(beyond, whole, xp.minimum(half, 1))  # for negative numbers
    return xp.right_shift(x + half + xp.right_shift(x, 63) * less, shift)


def scale(x, mantissa, exponent):
    """Returns x · mantissa · 2^(exponent − 31) for int32 x: the kernels' `MultiplyByQuantizedMultiplier`."""
    shifted = wrap(xp.left_shift(xp.astype(x, np.int64), xp.maximum(exponent, 0)))
    return divide_by_power(multiply_high(shifted, mantissa), xp.maximum(-exponent, 0))


def scale_long(x, mantissa, exponent):
    """Returns the same for int64 x, as after int16 products: a mantissa of 15 bits, rounded once."""
    mantissa = xp.where(mantissa < 0x7FFF0000, xp.right_shift(mantissa + (1 << 15), 16), 0x7FFF)
    shift = 15 - exponent
    half = xp.left_shift(shift * 0 + 1, shift - 1)
    return wrap(xp.right_shift(x * mantissa + half, shift))


# Real functions on int32 fixed-point numbers.

_ONE = INT32_MAX  # 1.0 without integer bits, saturated
_EXP_MINUS_EIGHTH = 1895147668  # exp(-1/8)
_THIRD = 715827883  # 1/3
# exp(-2^k) for k = -2 … 4
_EXP_POWERS = {-2: 1672461947, -1: 1302514674, 0: 790015084, 1: 290630308, 2: 39332535, 3: 720401, 4: 242}
_HALF_SQRT_2 = 1518500250  # sqrt(2) / 2
_48_OVER_17, _MINUS_32_OVER_17 = 1515870810, -1010580540  # with two integer bits


def shift_left(x, exponent):
    """Returns x · 2^exponent, saturated."""
    return xp.clip(xp.left_shift(x, exponent), INT32_MIN, INT32_MAX)


def _exp_small(a):
    """Returns exp(a) for a in [-1/4, 0): Taylor's series around -1/8."""
    x = a + (1 << 28)
    x2 = multiply_high(x, x)
    x3 = multiply_high(x2, x)
    x4_over_4 = divide_by_power(multiply_high(x2, x2), 2)
    higher = divide_by_power(multiply_high(x4_over_4 + x3, _THIRD) + x2, 1)
    return _EXP_MINUS_EIGHTH + multiply_high(_EXP_MINUS_EIGHTH, x + higher)


def exp_of_negative(a, integer_bits):
    """Returns exp(a) without integer bits, for a ≤ 0 with some."""
    fractional_bits = 31 - integer_bits
    quarter = 1 << (fractional_bits - 2)
    remainder = xp.bitwise_and(a, quarter - 1) - quarter
    result = _exp_small(shift_left(remainder, integer_bits))
    rest = remainder - a
    for power, constant in _EXP_POWERS.items():
        if integer_bits > power:
            bit = 1 << (fractional_bits + power)
            result = xp.where(xp.bitwise_and(rest, bit) > 0, multiply_high(result, constant), result)
    return xp.where(a == 0, _ONE, result)


def half_sum(a, b):
    """Returns (a + b) / 2, rounded to nearest, halves away from zero."""
    return divide_by_power(a + b, 1)


def _reciprocal_of_half(a):
    """Returns 2 / (1 + a) with two integer bits, for a in [0, 1]: Newton's division."""
    half = half_sum(a, _ONE)
    x = _48_OVER_17 + multiply_high(half, _MINUS_32_OVER_17)
    one = 1 << 29
    for _ in range(3):
        x = x + shift_left(multiply_high(x, one - multiply_high(half, x)), 2)
    return x


def one_over_one_plus(a):
    """Returns 1 / (1 + a) without integer bits, for a in [0, 1]."""
    # Half of 2 / (1 + a), with one integer bit.
    return shift_left(_reciprocal_of_half(a), 1)


def reciprocal(x, integer_bits):
    """Returns 1/x for x > 0 as a number in (1/2, 1] without integer bits, and the bits to shift it right.

    The kernels' `GetReciprocal`.
    """
    headroom = leading_zeros(x)
    return one_over_one_plus(xp.left_shift(x, headroom) - (1 << 31)), integer_bits - headroom


def leading_zeros(x):
    """Returns the number of zero bits before the first one of uint32 numbers."""
    return 32 - xp.astype(xp.frexp(xp.astype(x, np.float64))[1], np.int64)


def inverse_sqrt(x):
    """Returns (mantissa, exponent) of 1/sqrt(x) for integers x ≥ 0: `GetInvSqrtQuantizedMultiplierExp`.

    Zero gives the same as one.
    """
    x = np.asarray(x, np.int64)
    ones, x, exponent = x <= 1, np.maximum(x, 2), np.full(x.shape, 11, np.int64)
    while (large := x >= 1 << 29).any():
        x, exponent = np.where(large, x // 4, x), exponent + large
    pairs = (leading_zeros(x) - 1) // 2 - 1
    x, exponent = x << (2 * pairs), exponent - pairs
    # Newton's iteration from y = 1, with three integer bits: y (3 - x y²) / 2.
    value, y = x >> 1, np.full(x.shape, 1 << 28, np.int64)
    half = divide_by_power(value, 1)
    for _ in range(5):
        cube = shift_left(multiply_high(multiply_high(y, y), y), 6)
        y = shift_left(multiply_high((1 << 28) + (1 << 27), y) - multiply_high(half, cube), 3)
    y = multiply_high(y, _HALF_SQRT_2)
    y, exponent = y << np.maximum(-exponent, 0), np.maximum(exponent, 0)
    return np.where(ones, INT32_MAX, y), np.where(ones, 0, -exponent)


def tanh(a, integer_bits):
    """Returns tanh(a) without integer bits."""
    # ExactMulByPot<1>: the same raw number, one integer bit more.
    e = exp_of_negative(-xp.abs(a), integer_bits + 1)
    # (1 - e) / (1 + e) = 2 / (1 + e) - 1
    t = shift_left(_reciprocal_of_half(e) - (1 << 29), 2)
    return xp.where(a == 0, 0, xp.where(a < 0, -t, t))


def logistic(a, integer_bits):
    """Returns 1 / (1 + exp(-a)) without integer bits."""
    positive = one_over_one_plus(exp_of_negative(-xp.abs(a), integer_bits))
    return xp.where(a == 0, 1 << 30, xp.where(a > 0, positive, _ONE - positive))
