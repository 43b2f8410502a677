"""Means, sums and maxima over windows and axes, exactly as TFLite Micro's reference kernels compute them."""

import numpy as np

from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.integer import clamp
from keras_vrnn.quantization.windows import Window


def average_pool(x, target: Quantization, window: Window, activation=None):
    """AVERAGE_POOL_2D: the mean of the integers in each window, in their own format."""
    total = sum(view for *_, view in window.views(x.astype(np.int64), 0))
    count = sum(view for *_, view in window.views(np.ones_like(x, np.int64), 0))
    half = count // 2
    made = np.where(total > 0, (total + half) // count, -((half - total) // count))
    return clamp(made, target, x.dtype, activation)


def max_pool(x, target: Quantization, window: Window, activation=None):
    """MAX_POOL_2D: the largest integer in each window."""
    lowest = np.iinfo(x.dtype).min
    made = np.max([view for *_, view in window.views(x, lowest)], axis=0)
    return clamp(made, target, x.dtype, activation)


def mean(x, axes, source: Quantization, target: Quantization):
    """MEAN over axes, which are kept with length 1."""
    count = int(np.prod([x.shape[axis] for axis in axes]))
    mantissa, exponent = _factor(source, target)
    # The divisor goes into the mantissa, which is shifted to keep its bits.
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return _from_total(x, axes, count, (mantissa << shift) // count, exponent - shift, source, target)


def total(x, axes, source: Quantization, target: Quantization):
    """SUM over axes, which are kept with length 1."""
    count = int(np.prod([x.shape[axis] for axis in axes]))
    mantissa, exponent = _factor(source, target)
    return _from_total(x, axes, count, mantissa, exponent, source, target)


def _factor(source, target):
    return fixed.factor(float(np.float32(source.scale)) / float(np.float32(target.scale)))


def _from_total(x, axes, count, mantissa, exponent, source, target):
    sums = x.astype(np.int64).sum(axis=tuple(axes), keepdims=True) - source.zero_point * count
    made = fixed.scale(fixed.wrap(sums), fixed.wrap(mantissa), exponent)
    return clamp(made + target.zero_point, target, x.dtype)
