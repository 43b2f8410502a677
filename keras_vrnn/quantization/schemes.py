"""The quantization schemes: how each one stores signals, weights and biases.

A scheme applies to any recurrent cell. The files in `tflite/exporting/recurrences/` state which signals a cell has and
how far each may reach.
"""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization.formats import (
    INT4_MAX,
    INT8_MAX,
    INT8_MIN,
    INT16_MAX,
    LEAST_SCALE,
    Quantization,
    affine_int8,
    no_finer,
    span,
    symmetric_int16,
)
from keras_vrnn.quantization.rounding import compensated

UNBOUNDED = (-math.inf, math.inf)
# XNNPACK's ADD accepts ratios of scales from 2⁻¹⁰ to 2⁸. Only half of that is used, because the converter may choose a
# slightly different scale than calibration predicts.
_LEAST_RATIO, _LARGEST_RATIO = 2.0**-9, 2.0**7
_MARGIN = 0.1  # of the range, for values beyond those in the calibration data
# Between 15 values, for the least squared error of normally distributed numbers of variance 1 (Max 1960).
_NORMAL_STEP = 0.353
_INT32_BITS = 29  # TFLite Micro rescales an accumulator in int32 and shifts it left first
# The pre-activations beyond which an activation is constant in any number format.
_CLIPPING = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "hard_tanh": (-1.0, 1.0)}


@dataclass(frozen=True)
class Stored:
    """A constant as a file stores it.

    Attributes:
        array: its values; 4-bit integers are in an int8 array.
        quantization: its format, None for floats.
        int4: whether the values are 4-bit integers, of which two share a byte.
    """

    array: np.ndarray
    quantization: Quantization | None = None
    int4: bool = False


class Scheme:
    """How signals, weights and biases are stored. This base class stores all of them as float32.

    Attributes:
        dtype: the type of the signals.
        integer: whether the signals are integers, which need scales from calibration.
    """

    dtype: np.dtype = np.dtype("float32")
    integer = False
    bias_dtype: ClassVar[type] = np.float32
    largest_weight: ClassVar[int] = INT8_MAX  # of integer weights

    def format(self, low, high) -> Quantization | None:
        """Returns the format of a signal with the range [low, high], or None for a float signal."""
        return None

    def output_format(self, activation) -> Quantization | None:
        """Returns the format that the kernel of an activation fixes for its output, or None if it is free."""
        return None

    def saturation(self, activation) -> tuple[float, float]:
        """Returns the pre-activations beyond which an activation's output no longer changes in this scheme."""
        return UNBOUNDED

    def product_format(self, low, high, x, matrix) -> Quantization | None:
        """Returns the format of x·W with the range [low, high], or None for a float signal.

        Args:
            low, high: the range of the product.
            x: the format of x.
            matrix: W, (inputs, outputs).
        """
        return None

    def sum_formats(self, terms, result) -> tuple[list[Quantization | None], Quantization | None]:
        """Returns the formats of the terms of a sum and of its result, adjusted so that one ADD can compute it."""
        return list(terms), result

    def weight_scales(self, rows):
        """Returns one scale per row of weights (outputs, inputs), or one for all rows; None for float weights."""
        return None

    def product(self, matrix, bias, x, result, moment=None) -> tuple["Stored", "Stored | None"]:
        """Returns the weights and the bias of y = x·W + b as FULLY_CONNECTED stores them.

        Args:
            matrix: W, (inputs, outputs).
            bias: b, (outputs,), or None.
            x, result: the formats of x and y.
            moment: (count, Σ x·xᵀ) of the inputs, which guides the rounding of integer weights. Without it, each
                weight is rounded to nearest.
        """
        stored = Stored(*self._weights(matrix))
        return stored, None if bias is None else Stored(np.asarray(bias, np.float32))

    def _weights(self, matrix):
        """Returns the stored weights, (outputs, inputs), and their `Quantization` or None."""
        return np.ascontiguousarray(matrix.T, np.float32), None


class Float32(Scheme):
    """float32 signals, weights and biases."""


class Float16(Scheme):
    """float16 weights, which are dequantized when the file is loaded; everything else is float32."""

    def _weights(self, matrix):
        rows, _ = super()._weights(matrix)
        return rows.astype(np.float16), None


class Dynamic(Scheme):
    """int8 weights and float32 signals; the kernel quantizes each row of a signal for its own product."""

    def _weights(self, matrix):
        rows = matrix.T.astype(np.float64)
        scale = _scales(rows, axis=0)
        return compensated(rows, scale[:, None], INT8_MAX), Quantization(scale, 0, 0)


class _Integer(Scheme):
    """Integer signals, integer weights symmetric around zero, and biases in the scale of their accumulator."""

    integer = True
    _output_formats: ClassVar[dict[str, Quantization]]
    _saturation: ClassVar[dict[str, tuple[float, float]]]
    _weights_axis: ClassVar[int | None]
    _accumulator_bits: ClassVar[int]  # for the bias or the result's whole range; the products need the rest
    _largest_multiplier: ClassVar[float]  # from accumulator to result; a finer result would hold nothing more
    _steps_for_signal: ClassVar[float]  # left when a mark takes one; infinite where the type has one to spare

    def output_format(self, activation):
        return self._output_formats.get(activation)

    def saturation(self, activation):
        return self._saturation.get(activation, UNBOUNDED)

    def output_span(self, activation, measured) -> tuple[float, float]:
        """Returns the range of real values that an activation's output format holds: the fixed or the measured one."""
        fixed = self.output_format(activation)
        if fixed is None:
            return min(measured[0], 0.0), max(measured[1], 0.0)
        # From the whole int16 range [-1, 32767/32768] the converter would calibrate about 1/32767, but from the
        # symmetric range exactly 1/32768.
        return span(fixed, self.dtype)

    def range_with_mark(self, low, high, mark) -> tuple[float, float]:
        """Returns the range for a signal in [low, high] that also holds a mark, such as the value of masked steps.

        A mark far outside the signal's range would stretch the scale. It gets the last integer on its side instead,
        which the signal does not use, and the range has a margin for values beyond the calibration data.
        """
        low, high = span(self.format(low, high), self.dtype)
        if low <= mark <= high:
            return low, high
        gap = low - mark if mark < low else mark - high
        margin = min(gap / 2, _MARGIN * (high - low))
        wide = high - low + margin
        margin += wide / self._steps_for_signal
        return (low - margin, high) if mark < low else (low, high + margin)

    def product_format(self, low, high, x, matrix):
        quantization = self.format(low, high)
        # A product that is always zero must not make the sum coarser that it is a term of.
        scale = xp.where(xp.maximum(-low, high) > 0.0, quantization.scale, LEAST_SCALE)
        step = x.scale * xp.largest(self.weight_scales(_rows(matrix)))
        return no_finer(dataclasses.replace(quantization, scale=scale), step / self._largest_multiplier)

    def sum_formats(self, terms, result):
        largest = functools.reduce(xp.maximum, (term.scale for term in terms))
        result = no_finer(result, largest / _LARGEST_RATIO)
        return [no_finer(term, result.scale * _LEAST_RATIO) for term in terms], result

    def weight_scales(self, rows):
        """Returns one scale per row of weights (outputs, inputs), or one for all rows: a function of them alone."""
        return _scales(rows, self._weights_axis, self.largest_weight)

    def product(self, matrix, bias, x, result, moment=None):
        """Returns what the base class does.

        The bias has the scale of the accumulator, x.scale · weights.scale. Weights that are tiny or zero would make it
        so fine that the bias overflows. Therefore the scale of the weights is at least what the bias and the result's
        whole range need to fit the accumulator. With n inputs, this rounds the product by less than n·2⁻¹⁴ steps of
        the result.
        """
        rows, axis, limit = _rows(matrix), self._weights_axis, self.largest_weight
        # The products are too small to bring a larger bias back into the result's range.
        end = result.scale * 2.0**_INT32_BITS
        largest = xp.maximum(*map(xp.abs, span(result, self.dtype)))
        if bias is not None:
            bias = xp.clip(xp.astype(bias, np.float64), -end, end)
            largest = xp.maximum(largest, xp.abs(bias) if axis is not None else xp.largest(xp.abs(bias)))
        least = largest / 2.0**self._accumulator_bits / x.scale
        scale = xp.maximum(self.weight_scales(rows), least)
        integers = compensated(rows, scale if axis is None else scale[:, None], limit, moment)
        quantization = Quantization(scale if axis is not None else xp.real(scale), 0, axis)
        stored = Stored(integers, quantization, int4=limit == INT4_MAX)
        if bias is None:
            return stored, None
        integers = xp.narrow(xp.round(bias / (x.scale * scale)), self.bias_dtype)
        return stored, Stored(integers, Quantization(x.scale * scale, 0, axis))


class Int8(_Integer):
    """Full integer: int8 signals, int8 weights with one scale per output unit, and int32 biases."""

    dtype = np.dtype("int8")
    # The kernels of these functions ignore the declared output format and use this one.
    # A state with the same scale on input and output needs no conversion between steps.
    _output_formats: ClassVar = {
        "tanh": Quantization(1 / 128, 0),
        "sigmoid": Quantization(1 / 256, INT8_MIN),
        "softmax": Quantization(1 / 256, INT8_MIN),
        "hard_tanh": Quantization(1 / 127, 0),
    }
    # Where φ reaches the last int8 step of its output. Every pre-activation beyond gives the same integer, so a range
    # that ends here loses nothing, and a wider one would only make the steps coarser.
    # tanh: atanh(-127.5/128) and atanh(126.5/128); sigmoid: logit(0.5/256) and logit(254.5/256).
    _saturation: ClassVar = {
        "tanh": (math.atanh(-127.5 / 128), math.atanh(126.5 / 128)),
        "sigmoid": (math.log(0.5 / 255.5), math.log(254.5 / 1.5)),
        **_CLIPPING,
    }
    bias_dtype = np.int32
    _weights_axis = 0
    _accumulator_bits = 30
    _steps_for_signal = 254
    _largest_multiplier = 2.0**3  # the sum over some thousand inputs still fits int32

    def format(self, low, high):
        return affine_int8(low, high)


class Int8x4(Int8):
    """Full integer: int8 signals, weights from -7 to 7, of which two share a byte, and int32 biases.

    All weights of a product share one scale, because TFLite Micro accepts no more with 4-bit weights. It is

        min(max |w| / 7, 0.353 · √mean w²)

    where pruned weights do not count: of normally distributed weights, 15 equally spaced values lose least with this
    step, and the few larger weights are clipped.
    """

    _weights_axis = None
    largest_weight = INT4_MAX

    def weight_scales(self, rows):
        kept = xp.maximum(xp.total(xp.sign(rows) ** 2), 1.0)
        typical = _NORMAL_STEP * (xp.total(rows**2) / kept) ** 0.5
        return xp.maximum(xp.minimum(super().weight_scales(rows), typical), LEAST_SCALE)


class Int16x8(_Integer):
    """Full integer: int16 signals, int8 weights and int64 biases.

    All weights of a product share one scale, because TFLite Micro on CMSIS-NN accepts no more.
    """

    dtype = np.dtype("int16")
    _output_formats: ClassVar = {
        "tanh": Quantization(1 / 32768, 0),
        "sigmoid": Quantization(1 / 32768, 0),
        "softmax": Quantization(1 / 32768, 0),
        "hard_tanh": Quantization(1 / INT16_MAX, 0),
    }
    # The kernels read pre-activations up to 8: tanh(8)·32768 = 32767.99, sigmoid(8)·32768 = 32757.
    _saturation: ClassVar = {"tanh": (-8.0, 8.0), **_CLIPPING}
    bias_dtype = np.int64
    _weights_axis = None
    _steps_for_signal = math.inf  # formats leave out −32768, but quantizing saturates to it
    _accumulator_bits = 46  # LiteRT rescales int64 sums in fixed point and assumes that they are below 2⁴⁷
    _largest_multiplier = 2.0**-2  # the rescaled sum over a thousand inputs still fits int32

    def format(self, low, high):
        return symmetric_int16(low, high)


def _rows(matrix):
    """Returns the weights as float64, (outputs, inputs)."""
    return xp.astype(xp.transpose(matrix), np.float64)


def _scales(rows, axis, largest=INT8_MAX):
    """Returns one scale per row, or one for all rows if `axis` is None; a row of zeros gets the least scale."""
    scale = xp.largest(xp.abs(rows), axis=None if axis is None else 1) / largest
    return xp.maximum(scale, LEAST_SCALE)


SCHEMES: dict[str, Scheme] = {
    "float32": Float32(),
    "float16": Float16(),
    "dynamic": Dynamic(),
    "int8": Int8(),
    "int8x4": Int8x4(),
    "int16x8": Int16x8(),
}
