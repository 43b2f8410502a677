"""Means, sums and maxima over windows and axes, exactly as TFLite Micro's reference kernels compute them."""

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.integer import clamp, f32
from keras_vrnn.quantization.windows import Window


def average_pool(x, target: Quantization, window: Window, activation=None):
    """AVERAGE_POOL_2D: the mean of the integers in each window, in their own format."""
    total = sum(view for *_, view in window.views(x.astype(np.int64), 0))
    count = sum(view for *_, view in window.views(np.ones_like(x, np.int64), 0))
    return clamp(rounded_mean(total, count), target, x.dtype, activation)


def rounded_mean(total, count):
    """Returns total / count of integers, rounded to nearest, halves away from zero."""
    half = count // 2
    return xp.where(total > 0, (total + half) // count, -((half - total) // count))


def max_pool(x, target: Quantization, window: Window, activation=None):
    """MAX_POOL_2D: the largest integer in each window."""
    lowest = np.iinfo(x.dtype).min
    made = np.max([view for *_, view in window.views(x, lowest)], axis=0)
    return clamp(made, target, x.dtype, activation)


def mean(x, axes, source: Quantization, target: Quantization):
    """MEAN over axes, which are kept with length 1."""
    sums, count = _sums(x, axes, source)
    return mean_of_sums(sums, count, source, target, x.dtype)


def mean_of_sums(sums, count, source: Quantization, target: Quantization, dtype):
    """The result of MEAN for sums of `count` integers without their zero point."""
    mantissa, exponent = _factor(source, target)
    # The divisor goes into the mantissa, which is shifted to keep its bits.
    shift = xp.minimum(xp.minimum(31 + exponent, 32), count.bit_length() - 1)
    return _scaled(sums, xp.left_shift(mantissa, shift) // count, exponent - shift, target, dtype)


def total(x, axes, source: Quantization, target: Quantization):
    """SUM over axes, which are kept with length 1."""
    sums, _ = _sums(x, axes, source)
    mantissa, exponent = _factor(source, target)
    return _scaled(sums, mantissa, exponent, target, x.dtype)


def _factor(source, target):
    return fixed.factor(f32(source.scale) / f32(target.scale))


def _sums(x, axes, source):
    count = int(np.prod([x.shape[axis] for axis in axes]))
    return x.astype(np.int64).sum(axis=tuple(axes), keepdims=True) - source.zero_point * count, count


def _scaled(sums, mantissa, exponent, target, dtype):
    made = fixed.scale(fixed.wrap(sums), fixed.wrap(mantissa), exponent)
    return clamp(made + target.zero_point, target, dtype)
