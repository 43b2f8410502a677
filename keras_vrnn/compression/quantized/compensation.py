"""Starts the training of 4-bit weights from the integers of a calibrated file.

A calibrated file rounds its weights with compensation (`quantization.rounding`); training rounds each weight to
nearest. So the weights first move to where nearest rounding gives the compensated integers.
"""

import numpy as np

from keras_vrnn.quantization.formats import INT8_MAX
from keras_vrnn.quantization.rounding import MOST_INPUTS, compensated

_INSIDE = 0.25  # steps from an integer; a later change of the scale of up to 3 % then changes no integer


class Moments:
    """The second moments of the vectors that weights multiply, measured in calibration.

    Args:
        scheme: a quantization scheme.
    """

    def __init__(self, scheme):
        self._scheme = scheme
        self._sums = {}  # id of a weight -> the weight, count and Σ x·xᵀ

    def add(self, weight, vectors):
        """Adds vectors (..., inputs) that a weight (inputs, outputs) multiplies, if it becomes a 4-bit weight."""
        if self._scheme.largest_weight == INT8_MAX or vectors.shape[-1] > MOST_INPUTS:
            return
        vectors = np.reshape(vectors, (-1, vectors.shape[-1])).astype(np.float64)
        _, count, total = self._sums.get(id(weight), (weight, 0, 0.0))
        self._sums[id(weight)] = weight, count + len(vectors), total + vectors.T @ vectors

    def apply(self):
        """Moves the weights to the start of their training, and forgets the moments."""
        for weight, *moment in self._sums.values():
            weight.assign(start(np.array(weight), moment, self._scheme))
        self._sums.clear()


def start(kernel, moment, scheme):
    """Returns a kernel near the given one which, rounded to nearest, has less error on the measured inputs.

    Args:
        kernel: W, (inputs, outputs).
        moment: (count, Σ x·xᵀ) of the inputs.
        scheme: a quantization scheme with one scale for all weights.
    """
    rows, limit = kernel.T.astype(np.float64), scheme.largest_weight
    scale = scheme.weight_scales(rows)
    integers = compensated(rows, scale, limit, moment)
    # Weights beyond the largest integer stay there, because the scale depends on them.
    low, high = np.where(integers == -limit, -np.inf, -_INSIDE), np.where(integers == limit, np.inf, _INSIDE)
    moved = scale * (integers + np.clip(rows / scale - integers, low, high))
    moved *= scale / scheme.weight_scales(moved)  # now it has the scale of `rows`

    def error(candidate):
        own = scheme.weight_scales(candidate)
        lost = own * compensated(candidate, own, limit) - rows
        return np.sum(lost @ moment[1] * lost)

    return np.ascontiguousarray(moved.T if error(moved) < error(rows) else rows.T, np.float32)
