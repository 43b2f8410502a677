"""The number formats of a lowered recurrence, in one place: what calibration measures is turned into scales here.

real = scale · (integer − zero point), as in the TFLite 8-bit quantization specification.

The recurrence has five signals, each with one scale for all time steps:

    z = x·W_x + b        r = h·W_h        a = z + r        h = φ(a)
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

INT8_MIN, INT8_MAX = -128, 127


@dataclass(frozen=True)
class Quantization:
    """Scale and zero point of a tensor, or of each slice along `axis`."""

    scale: float | np.ndarray
    zero_point: int = 0
    axis: int | None = None


# The kernels of these functions ignore the declared output quantization: it must be this one.
# A state of the same scale, in and out, needs no conversion on the way back.
FIXED_STATE = {
    "tanh": Quantization(1 / 128, 0),
    "sigmoid": Quantization(1 / 256, INT8_MIN),
}

# Where φ reaches the last int8 step of its state: from there on every pre-activation gives the same integer,
# so a range that ends here loses nothing, and a wider one would only make the steps coarser.
# tanh: atanh(-127.5/128) and atanh(126.5/128); sigmoid: logit(0.5/256) and logit(254.5/256).
_SATURATION = {
    "tanh": (math.atanh(-127.5 / 128), math.atanh(126.5 / 128)),
    "sigmoid": (math.log(0.5 / 255.5), math.log(254.5 / 1.5)),
}
_UNBOUNDED = (-math.inf, math.inf)


def affine_int8(low, high):
    """Asymmetric int8 over [low, high], widened so that zero is exact."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = (high - low) / (INT8_MAX - INT8_MIN)
    if scale == 0.0:  # a signal that is always zero; any scale holds it
        return Quantization(1.0, 0)
    return Quantization(scale, int(np.clip(round(INT8_MIN - low / scale), INT8_MIN, INT8_MAX)))


def state_range(activation, measured):
    """The range of real values that the state's format spans: fixed by φ if it can be, else measured."""
    if activation in FIXED_STATE:
        q = FIXED_STATE[activation]
        return q.scale * (INT8_MIN - q.zero_point), q.scale * (INT8_MAX - q.zero_point)
    return min(measured[0], 0.0), max(measured[1], 0.0)


class FloatRules:
    """float32 everywhere."""

    dtype = np.dtype("float32")
    signals: ClassVar[dict] = {}

    def signal(self, name):
        return None

    def weights(self, matrix):
        """Returns a matrix (inputs, outputs) as FULLY_CONNECTED stores it, (outputs, inputs)."""
        return np.ascontiguousarray(matrix.T, np.float32), None

    def bias(self, vector, x, weights):
        return np.asarray(vector, np.float32), None


class Int8Rules:
    """Full integer: int8 signals, int8 weights symmetric per output unit, int32 biases."""

    dtype = np.dtype("int8")

    def __init__(self, activation, ranges):
        """Takes the measured ranges (low, high) of the signals "z", "r", "a" and "h"."""
        low, high = _SATURATION.get(activation, _UNBOUNDED)
        (z_low, z_high), (r_low, r_high) = ranges["z"], ranges["r"]
        self.signals = {
            # A term so large that the sum saturates whatever the other term is needs no room either.
            "z": affine_int8(*np.clip((z_low, z_high), low - r_high, high - r_low)),
            "r": affine_int8(*np.clip((r_low, r_high), low - z_high, high - z_low)),
            "a": affine_int8(*np.clip(ranges["a"], low, high)),
            "h": FIXED_STATE.get(activation) or affine_int8(*ranges["h"]),
        }

    def signal(self, name):
        """Returns the quantization of a signal."""
        return self.signals[name]

    def weights(self, matrix):
        """Returns the int8 weights of a matrix (inputs, outputs), stored (outputs, inputs), and their scales."""
        rows = np.asarray(matrix, np.float64).T
        scale = np.abs(rows).max(axis=1) / INT8_MAX
        scale[scale == 0.0] = 1.0  # a row of zeros
        return np.round(rows / scale[:, None]).astype(np.int8), Quantization(scale, 0, axis=0)

    def bias(self, vector, x, weights):
        """Returns the int32 bias of a product of `x` and `weights`, in the scale of their accumulator."""
        scale = x.scale * weights.scale
        limit = np.iinfo(np.int32).max
        return np.clip(np.round(vector / scale), -limit, limit).astype(np.int32), Quantization(
            scale, 0, axis=0
        )
