"""CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV, exactly as TFLite Micro's reference kernels compute them.

A convolution over time is one over an image of height 1. Weights have one scale per output channel, or one for all.
"""

import numpy as np

from keras_vrnn.quantization.integer import from_sums, product_factors


def conv(x, weights, bias, source, weights_format, target, window, activation=None, narrow=False):
    """CONV_2D.

    Args:
        x: int8 or int16, (samples, height, width, channels).
        weights: int8, (filters, height, width, channels of a group).
        bias: int32 or int64, (filters,); None for none.
        source, weights_format, target: formats of x, of the weights and of the result.
        window: the `Window`.
        activation, narrow: as in `integer.from_sums`.

    Returns:
        Integers of the type of `x`, (samples, height, width, filters).
    """
    filters, *_, width = weights.shape
    groups = x.shape[-1] // width
    kernels = weights.astype(np.float64).reshape(groups, -1, *weights.shape[1:])
    sums = sum(
        np.einsum(
            "nhwgc,gfc->nhwgf",
            view.reshape(*view.shape[:3], groups, width),
            kernels[:, :, row, column],
        ).reshape(*view.shape[:3], filters)
        for row, column, view in window.views(_centred(x, source), 0.0)
    )
    reals = product_factors(source, weights_format, target, single=False)
    return from_sums(sums, bias, reals, target, x.dtype, activation, narrow)


def depthwise_conv(x, weights, bias, source, weights_format, target, window, activation=None):
    """DEPTHWISE_CONV_2D: each channel by filters of its own; weights (1, height, width, channels · multiplier)."""
    filters = weights.shape[-1]
    multiplier, kernels = filters // x.shape[-1], weights[0].astype(np.float64)
    sums = sum(
        np.repeat(view, multiplier, axis=-1) * kernels[row, column]
        for row, column, view in window.views(_centred(x, source), 0.0)
    )
    reals = product_factors(source, weights_format, target, single=False)
    return from_sums(sums, bias, reals, target, x.dtype, activation)


def transpose_conv(x, weights, bias, source, weights_format, target, window, image, activation=None):
    """TRANSPOSE_CONV: adds every input, times the filters, to the positions that a window there would read.

    Args:
        image: the height and width of the result.
    """
    filters, before = len(weights), window.before(image)
    samples, rows, columns = x.shape[:3]
    # Room for every window; what lies outside the image is cut off.
    reach = [(n - 1) * s + k for n, s, k in zip((rows, columns), window.stride, window.size, strict=True)]
    room = [max(r, b + n) for r, b, n in zip(reach, before, image, strict=True)]
    sums = np.zeros((samples, *room, filters))
    centred, kernels = _centred(x, source), weights.astype(np.float64)
    for row, column in np.ndindex(*window.size):
        down = slice(row, row + (rows - 1) * window.stride[0] + 1, window.stride[0])
        across = slice(column, column + (columns - 1) * window.stride[1] + 1, window.stride[1])
        sums[:, down, across] += centred @ kernels[:, row, column].T
    sums = sums[:, before[0] : before[0] + image[0], before[1] : before[1] + image[1]]
    reals = product_factors(source, weights_format, target, single=False)
    return from_sums(sums, bias, reals, target, x.dtype, activation)


def _centred(x, source):
    """x without its zero point, in float64, which holds every sum of products exactly."""
    return x.astype(np.float64) - source.zero_point
