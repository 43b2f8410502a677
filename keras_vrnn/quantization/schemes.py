"""The quantization schemes: how each one stores signals, weights and biases.

A scheme holds for any recurrent cell. Which signals a cell has, and how far each may reach, is stated in
`tflite/exporting/recurrences/`.
"""

import math
from typing import ClassVar

import numpy as np

from keras_vrnn.quantization.formats import (
    INT8_MAX,
    INT8_MIN,
    INT16_MAX,
    Quantization,
    affine_int8,
    span,
    symmetric_int16,
)
from keras_vrnn.quantization.rounding import compensated

UNBOUNDED = (-math.inf, math.inf)
# Pre-activations beyond which an activation is constant, in any number format.
_CLIPPING = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "hard_tanh": (-1.0, 1.0)}


class Scheme:
    """How signals, weights and biases are stored: here all as float32, which the other schemes change.

    Attributes:
        dtype: of the signals.
        integer: whether the signals are integers, whose scales calibration must give.
    """

    dtype: np.dtype = np.dtype("float32")
    integer = False

    def format(self, low, high) -> Quantization | None:
        """Returns the format of a signal with the range [low, high]; None for a float signal."""
        return None

    def output_format(self, activation) -> Quantization | None:
        """Returns the format that the kernel of an activation fixes for its output, or None if it is free."""
        return None

    def saturation(self, activation) -> tuple[float, float]:
        """Returns the pre-activations beyond which an activation's output no longer changes in this scheme."""
        return UNBOUNDED

    def weights(self, matrix, moment=None):
        """Returns the weights of a product as FULLY_CONNECTED stores them.

        Args:
            matrix: the weights, (inputs, outputs).
            moment: (count, Σ v·vᵀ) of the inputs v, by which integers are rounded; without it, to nearest.

        Returns:
            The stored weights, (outputs, inputs), and their `Quantization` or None.
        """
        return np.ascontiguousarray(matrix.T, np.float32), None

    def bias(self, vector, x, weights):
        """Returns the bias of a product of `x` and `weights`, given by their formats, and its `Quantization`."""
        return np.asarray(vector, np.float32), None


class Float32(Scheme):
    """float32 signals, weights and biases."""


class Float16(Scheme):
    """float16 weights, dequantized when the file is loaded; the rest is float32."""

    def weights(self, matrix, moment=None):
        rows, _ = super().weights(matrix)
        return rows.astype(np.float16), None


class Dynamic(Scheme):
    """int8 weights; the signals stay float32, and the kernel quantizes each row for its own product."""

    def weights(self, matrix, moment=None):
        return _symmetric_int8(matrix, axis=0)


class _Integer(Scheme):
    """Integer signals, int8 weights symmetric around zero, biases in the scale of their accumulator."""

    integer = True
    _output_formats: ClassVar[dict[str, Quantization]]
    _saturation: ClassVar[dict[str, tuple[float, float]]]
    _bias_dtype: ClassVar[type]
    _weights_axis: ClassVar[int | None]

    def output_format(self, activation):
        return self._output_formats.get(activation)

    def saturation(self, activation):
        return self._saturation.get(activation, UNBOUNDED)

    def output_span(self, activation, measured) -> tuple[float, float]:
        """Returns the range of real values that an activation's output format holds: fixed, or else measured."""
        fixed = self.output_format(activation)
        if fixed is None:
            return min(measured[0], 0.0), max(measured[1], 0.0)
        # The converter calibrates the whole int16 range [-1, 32767/32768] to about 1/32767, but the symmetric one
        # to exactly 1/32768.
        return span(fixed, self.dtype)

    def weights(self, matrix, moment=None):
        return _symmetric_int8(matrix, self._weights_axis, moment)

    def bias(self, vector, x, weights):
        scale = x.scale * weights.scale
        limit = np.iinfo(np.int32).max
        integers = np.clip(np.round(vector / scale), -limit, limit).astype(self._bias_dtype)
        return integers, Quantization(scale, 0, self._weights_axis)


class Int8(_Integer):
    """Full integer: int8 signals, int8 weights with one scale per output unit, int32 biases."""

    dtype = np.dtype("int8")
    # The kernels of these functions ignore the declared output format: it must be this one.
    # A state with the same scale in and out needs no conversion on the way back.
    _output_formats: ClassVar = {
        "tanh": Quantization(1 / 128, 0),
        "sigmoid": Quantization(1 / 256, INT8_MIN),
        "hard_tanh": Quantization(1 / 127, 0),
    }
    # Where φ reaches the last int8 step of its output: from there on every pre-activation gives the same integer,
    # so a range that ends here loses nothing, and a wider one would only make the steps coarser.
    # tanh: atanh(-127.5/128) and atanh(126.5/128); sigmoid: logit(0.5/256) and logit(254.5/256).
    _saturation: ClassVar = {
        "tanh": (math.atanh(-127.5 / 128), math.atanh(126.5 / 128)),
        "sigmoid": (math.log(0.5 / 255.5), math.log(254.5 / 1.5)),
        **_CLIPPING,
    }
    _bias_dtype = np.int32
    _weights_axis = 0

    def format(self, low, high):
        return affine_int8(low, high)


class Int16x8(_Integer):
    """int16 signals, int8 weights with one scale (TFLite Micro on CMSIS-NN takes no more), int64 biases."""

    dtype = np.dtype("int16")
    _output_formats: ClassVar = {
        "tanh": Quantization(1 / 32768, 0),
        "sigmoid": Quantization(1 / 32768, 0),
        "hard_tanh": Quantization(1 / INT16_MAX, 0),
    }
    # The kernels read pre-activations of at most 8: tanh(8)·32768 = 32767.99, sigmoid(8)·32768 = 32757.
    _saturation: ClassVar = {"tanh": (-8.0, 8.0), **_CLIPPING}
    _bias_dtype = np.int64
    _weights_axis = None

    def format(self, low, high):
        return symmetric_int16(low, high)


def _symmetric_int8(matrix, axis, moment=None):
    rows = np.asarray(matrix, np.float64).T
    scale = np.abs(rows).max(axis=None if axis is None else 1) / INT8_MAX
    scale = np.where(scale == 0.0, 1.0, scale)  # a row of zeros
    integers = compensated(rows, scale if axis is None else scale[:, None], INT8_MAX, moment)
    return integers, Quantization(float(scale) if axis is None else scale, 0, axis)


SCHEMES: dict[str, Scheme] = {
    "float32": Float32(),
    "float16": Float16(),
    "dynamic": Dynamic(),
    "int8": Int8(),
    "int16x8": Int16x8(),
}
