"""The number formats of a lowered recurrence, in one place: what calibration measures is turned into scales here.

real = scale · (integer − zero point), as in the TFLite 8-bit quantization specification.

The recurrence has five signals, each with one scale for all time steps:

    z = x·W_x + b        r = h·W_h        a = z + r        h = φ(a)
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from keras_vrnn.quantization.rounding import compensated

INT8_MIN, INT8_MAX = -128, 127
INT16_MAX = 32767


@dataclass(frozen=True)
class Quantization:
    """Scale and zero point of a tensor, or of each slice along `axis`."""

    scale: float | np.ndarray
    zero_point: int = 0
    axis: int | None = None


# Pre-activations beyond which an activation is constant, in any number format.
_CLIPPING = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "hard_tanh": (-1.0, 1.0)}
_UNBOUNDED = (-math.inf, math.inf)


def affine_int8(low, high):
    """Asymmetric int8 over [low, high], widened so that zero is exact."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = (high - low) / (INT8_MAX - INT8_MIN)
    if scale == 0.0:  # a signal that is always zero; any scale holds it
        return Quantization(1.0, 0)
    return Quantization(scale, int(np.clip(round(INT8_MIN - low / scale), INT8_MIN, INT8_MAX)))


def symmetric_int16(low, high):
    """int16 with zero point 0, as its kernels demand, over [low, high]."""
    return Quantization(max(-float(low), float(high)) / INT16_MAX or 1.0, 0)


class FloatRules:
    """float32 everywhere."""

    dtype = np.dtype("float32")
    signals: ClassVar[dict[str, Quantization]] = {}

    def signal(self, name):
        """Returns the quantization of a signal: none."""
        return None

    def weights(self, matrix, source):
        """Returns the weights of a product, (inputs, outputs), as FULLY_CONNECTED stores them, and their quantization.

        Args:
            matrix: the weights.
            source: what they are multiplied with, "x" or "h".

        Returns:
            The stored weights, (outputs, inputs), and their `Quantization` or None.
        """
        return np.ascontiguousarray(matrix.T, np.float32), None

    def bias(self, vector, x, weights):
        """Returns the bias of a product of `x` and `weights`, and its quantization."""
        return np.asarray(vector, np.float32), None


class Float16Rules(FloatRules):
    """float16 weights, dequantized when the file is loaded; the rest is float32."""

    def weights(self, matrix, source):
        rows, _ = super().weights(matrix, source)
        return rows.astype(np.float16), None


class DynamicRules(FloatRules):
    """int8 weights; the signals stay float32, each row quantized by the kernel for its own product."""

    def weights(self, matrix, source):
        return _symmetric_int8(matrix, axis=0)


class IntegerRules:
    """Integer signals, int8 weights symmetric around zero, biases in the scale of their accumulator."""

    dtype: ClassVar[np.dtype]
    fixed_state: ClassVar[dict[str, Quantization]]
    _saturation: ClassVar[dict[str, tuple[float, float]]]
    _bias_dtype: ClassVar[type]
    _weights_axis: ClassVar[int | None]

    @staticmethod
    def format(low, high) -> Quantization:
        """Returns the quantization of a signal with the range [low, high]."""
        raise NotImplementedError

    def __init__(self, activation, ranges, moments=None):
        """Takes what was measured.

        Args:
            activation: its name.
            ranges: signal "z", "r", "a", "h" -> (low, high).
            moments: "x", "h" -> (count, Σ v·vᵀ), by which the weights are rounded; without them, to nearest.
        """
        self._moments = moments or {}
        low, high = self._saturation.get(activation, _UNBOUNDED)
        (z_low, z_high), (r_low, r_high) = ranges["z"], ranges["r"]
        self.signals = {
            # A term so large that the sum saturates whatever the other term is needs no room either.
            "z": self.format(*np.clip((z_low, z_high), low - r_high, high - r_low)),
            "r": self.format(*np.clip((r_low, r_high), low - z_high, high - z_low)),
            "a": self.format(*np.clip(ranges["a"], low, high)),
            "h": self.fixed_state.get(activation) or self.format(*ranges["h"]),
        }

    def signal(self, name):
        """Returns the quantization of a signal."""
        return self.signals[name]

    def weights(self, matrix, source):
        """Returns the int8 weights of a product, (outputs, inputs), and their scales; see `FloatRules.weights`."""
        return _symmetric_int8(matrix, self._weights_axis, self._moments.get(source))

    def bias(self, vector, x, weights):
        """Returns the bias of a product of `x` and `weights`, and its quantization."""
        scale = x.scale * weights.scale
        limit = np.iinfo(np.int32).max
        integers = np.clip(np.round(vector / scale), -limit, limit).astype(self._bias_dtype)
        return integers, Quantization(scale, 0, self._weights_axis)

    @classmethod
    def state_range(cls, activation, measured):
        """The range of real values that the state's format spans: fixed by φ if it can be, else measured."""
        q = cls.fixed_state.get(activation)
        if q is None:
            return min(measured[0], 0.0), max(measured[1], 0.0)
        limits = np.iinfo(cls.dtype)
        # int16 is symmetric: the converter calibrates [-1, 32767/32768] to the scale 1/32767 or so, but exactly
        # [-m, m] with m = 32767/32768 to 1/32768.
        lowest = -limits.max if cls.dtype == np.int16 else limits.min
        return q.scale * (lowest - q.zero_point), q.scale * (limits.max - q.zero_point)


class Int8Rules(IntegerRules):
    """Full integer: int8 signals, weights per output unit, int32 biases."""

    dtype = np.dtype("int8")
    format = staticmethod(affine_int8)
    # The kernels of these functions ignore the declared output quantization: it must be this one.
    # A state of the same scale, in and out, needs no conversion on the way back.
    fixed_state: ClassVar = {
        "tanh": Quantization(1 / 128, 0),
        "sigmoid": Quantization(1 / 256, INT8_MIN),
        "hard_tanh": Quantization(1 / 127, 0),
    }
    # Where φ reaches the last int8 step of its state: from there on every pre-activation gives the same integer,
    # so a range that ends here loses nothing, and a wider one would only make the steps coarser.
    # tanh: atanh(-127.5/128) and atanh(126.5/128); sigmoid: logit(0.5/256) and logit(254.5/256).
    _saturation: ClassVar = {
        "tanh": (math.atanh(-127.5 / 128), math.atanh(126.5 / 128)),
        "sigmoid": (math.log(0.5 / 255.5), math.log(254.5 / 1.5)),
        **_CLIPPING,
    }
    _bias_dtype = np.int32
    _weights_axis = 0


class Int16x8Rules(IntegerRules):
    """int16 signals, int8 weights with one scale (TFLite Micro on CMSIS-NN takes no more), int64 biases."""

    dtype = np.dtype("int16")
    format = staticmethod(symmetric_int16)
    fixed_state: ClassVar = {
        "tanh": Quantization(1 / 32768, 0),
        "sigmoid": Quantization(1 / 32768, 0),
        "hard_tanh": Quantization(1 / INT16_MAX, 0),
    }
    # The kernels read pre-activations of at most 8: tanh(8)·32768 = 32767.99, sigmoid(8)·32768 = 32757.
    _saturation: ClassVar = {"tanh": (-8.0, 8.0), **_CLIPPING}
    _bias_dtype = np.int64
    _weights_axis = None


def _symmetric_int8(matrix, axis, moment=None):
    rows = np.asarray(matrix, np.float64).T
    scale = np.abs(rows).max(axis=None if axis is None else 1) / INT8_MAX
    scale = np.where(scale == 0.0, 1.0, scale)  # a row of zeros
    integers = compensated(rows, scale if axis is None else scale[:, None], INT8_MAX, moment)
    return integers, Quantization(float(scale) if axis is None else scale, 0, axis)


RULES: dict[str, Any] = {
    "float32": FloatRules,
    "float16": Float16Rules,
    "dynamic": DynamicRules,
    "int8": Int8Rules,
    "int16x8": Int16x8Rules,
}
