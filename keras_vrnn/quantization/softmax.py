"""SOFTMAX and LOG_SOFTMAX over the last axis, exactly as TFLite Micro's reference kernels compute them."""

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.activations import exp, round_half_away
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.integer import f32

# Integer bits of differences from the largest input, and of sums of exponentials.
_DIFFERENCE_BITS, _SUM_BITS = 5, 12


def softmax(x, source: Quantization, dtype=None, beta=1.0):
    """SOFTMAX of arrays or tensors: exp(beta x) / Σ exp(beta x) in steps of 1/256 (int8) or 1/32768 (int16)."""
    if (x.dtype if dtype is None else dtype) == np.int16:
        return _softmax_int16(x, source, beta)
    _, terms, total = _exponentials(x, source, beta)
    inverse, shift = fixed.reciprocal(total, _SUM_BITS)
    made = fixed.divide_by_power(fixed.multiply_high(inverse, terms), shift + 31 - 8)
    return xp.narrow(xp.clip(made - 128, -128, 127), np.int8)


def log_softmax(x, source: Quantization):
    """LOG_SOFTMAX of int8: x − log Σ exp(x) in steps of 1/16, the zero point at 127."""
    (mantissa, exponent), _, total = _exponentials(x, source, 1.0)
    logarithm = _log(total)
    back = fixed.factor((1 << (31 - exponent)) / mantissa)
    least = np.maximum(-_radius(exponent) - 1, fixed.scale(fixed.wrap(logarithm + fixed.INT32_MIN), *back))
    difference = _differences(x)
    # 31 bits less the five of the difference and the four of the result.
    made = fixed.divide_by_power(fixed.scale(difference, mantissa, exponent) - logarithm, 22) + 127
    return np.where(difference > least, np.clip(made, -128, 127), -128).astype(np.int8)


def exponentials(x, source: Quantization, beta):
    """Returns exp(beta (x − max x)) of int8 over the last axis, without integer bits; 0 beyond the kernel's reach."""
    return _exponentials(x, source, beta)[1]


def _differences(x):
    x = xp.astype(x, np.int64)
    return x - xp.largest(x, axis=-1, keepdims=True)


def _radius(exponent):
    """The largest difference that has an exponential worth adding."""
    return xp.right_shift(((1 << _DIFFERENCE_BITS) - 1) << (31 - _DIFFERENCE_BITS), exponent)


def _exponentials(x, source, beta):
    """Returns the factor of the differences, exp of each without integer bits (0 beyond reach), and their sum."""
    real = float(np.float32(beta)) * f32(source.scale) * float(1 << (31 - _DIFFERENCE_BITS))
    mantissa, exponent = fixed.factor(xp.minimum(real, (1 << 31) - 1.0))
    difference = _differences(x)
    near = difference >= -_radius(exponent)
    scaled = fixed.scale(xp.where(near, difference, 0), mantissa, exponent)
    made = xp.where(near, fixed.exp_of_negative(scaled, _DIFFERENCE_BITS), 0)
    total = xp.total(fixed.divide_by_power(made, _SUM_BITS), axis=-1, keepdims=True)
    return (mantissa, exponent), made, total


# The constants of the logarithm, without integer bits.
_LOG_2, _SQRT_SQRT_HALF, _SQRT_HALF = 1488522236, 1805811301, 1518500250
_ALPHA_N, _ALPHA_D, _ALPHA_I, _ALPHA_F = 117049297, 127690142, 1057819769, 638450708


def _log(x):
    """Returns log(x) with five integer bits, for x ≥ 1 with twelve.

    x = r · 2^n with r around 1/sqrt(2) in one of two ways, and a rational function of r.
    """
    bits = _DIFFERENCE_BITS + 1
    power, quarter = 31 - bits, 1 << (29 - bits)
    headroom = fixed.leading_zeros(x)
    r_a = fixed.shift_left(fixed.multiply_high(fixed.shift_left(x, headroom - 1), _SQRT_HALF), 1)
    n_a = fixed.shift_left(_SUM_BITS - headroom, power) + quarter
    headroom = fixed.leading_zeros(fixed.multiply_high(x, _SQRT_HALF)) - 1
    r_b = fixed.shift_left(x, headroom)
    n_b = fixed.shift_left(_SUM_BITS - headroom, power) - quarter
    r, n = np.minimum(r_a, r_b), np.maximum(n_a, n_b)
    p, q = fixed.half_sum(r, _SQRT_SQRT_HALF), fixed.wrap(2 * (r - _SQRT_SQRT_HALF))
    square = fixed.multiply_high(q, q)
    numerator = fixed.multiply_high(q, r) + fixed.multiply_high(fixed.multiply_high(q, square), _ALPHA_N)
    inner = fixed.wrap(_ALPHA_I + q + fixed.multiply_high(_ALPHA_D, square))
    denominator = fixed.wrap(fixed.multiply_high(p, inner) + fixed.multiply_high(_ALPHA_F, q))
    fraction = fixed.multiply_high(
        fixed.divide_by_power(fixed.wrap(numerator), bits), fixed.one_over_one_plus(denominator)
    )
    return fixed.shift_left(fixed.wrap(fixed.multiply_high(n, _LOG_2) + fraction), 1)


def _softmax_int16(x, source, beta):
    """SOFTMAX of int16: exp and 1/(1 + x) from tables of 513 values, read between them."""
    real = f32(source.scale) * float(np.float32(beta)) / (10.0 / 65535.0)
    scaled = fixed.scale(_differences(x), *fixed.factor(real))
    exponentials = _look_up(xp.clip(scaled + 32767, -32768, 32767), EXP_TABLE)
    total = xp.total(exponentials, axis=-1, keepdims=True)
    headroom = fixed.leading_zeros(total)
    # total · 2^n − 1 between 0 and 1.
    fraction = xp.right_shift(xp.left_shift(total, headroom - 1) + (1 << 13), 14)
    fraction = xp.clip(fraction - ((1 << 15) + (1 << 16)), -32768, 32767)
    shift = 31 - headroom
    inverse = _look_up(fraction, INVERSE_TABLE)
    half = xp.left_shift(shift * 0 + 1, shift - 1)
    return xp.narrow(xp.clip(xp.right_shift(exponentials * inverse + half, shift), 0, 32767), np.int16)


def _look_up(x, table):
    index, part = 256 + xp.right_shift(x, 7), xp.bitwise_and(x, 0x7F)
    here, after = xp.take(table, index), xp.take(table, index + 1)
    return here + xp.right_shift((after - here) * part + 64, 7)


def _table(function, low, high):
    """A function over [low, high] in steps of 1/32768, each value moved to halve the error between it and the next."""
    low, high, two = np.float32(low), np.float32(high), np.float32(2)
    step = (high - low) / np.float32(512)
    steps = np.arange(512, dtype=np.float32) * step
    inverse = np.float32(65536) / _RANGE
    value, middle = function(low + steps), function(low + steps + step / two)
    following = function(low + np.arange(1, 513, dtype=np.float32) * step)
    rounded = round_half_away(value * inverse).astype(np.float32)
    between = round_half_away((following * inverse + rounded) / two) - round_half_away(middle * inverse)
    bias = round_half_away(between.astype(np.float32) / two)
    last = round_half_away(function(np.array([high], np.float32)) * inverse)
    return np.clip(np.concatenate([rounded.astype(np.int64) - bias, last]), -32768, 32767)


# The kernel computes the ends of its tables from steps in float32.
_STEP = np.float32(2) / np.float32(65535)
_RANGE = _STEP * np.float32(32767) - _STEP * np.float32(-32768)
_TEN, _ONE = np.float32(10) / np.float32(65535), np.float32(1) / np.float32(65535)
EXP_TABLE = _table(exp, _TEN * np.float32(-65535), _TEN * np.float32(0))
INVERSE_TABLE = _table(
    lambda x: np.float32(1) / (np.float32(1) + x), _ONE * np.float32(0), _ONE * np.float32(65535)
)
