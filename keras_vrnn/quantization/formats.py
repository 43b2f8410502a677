"""The number formats of quantized tensors.

real = scale · (integer − zero point), as in the TFLite 8-bit quantization specification.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_vrnn.quantization import arrays as xp

INT4_MAX = 7
INT8_MIN, INT8_MAX = -128, 127
INT16_MAX = 32767
# Runtimes store scales and products of two scales as float32, where numbers below 2⁻¹²⁶ are subnormal: LiteRT 2.3
# aborts on those.
LEAST_SCALE = 2.0**-60
_NEAR = 2.0**-10  # a little more than the tolerance of LiteRT, 2^0.001 − 1


@dataclass(frozen=True)
class Quantization:
    """The scale and zero point of a tensor, or of each slice along `axis`.

    In a graph of TensorFlow, both may be tensors, float64 and int64.
    """

    scale: Any
    zero_point: Any = 0
    axis: int | None = None


def limits(dtype) -> tuple[int, int]:
    """Returns the smallest and largest integer that a quantized tensor of this dtype uses.

    int16 is symmetric: the TFLite specification fixes its zero point at 0 and leaves out −32768.
    """
    info = np.iinfo(dtype)
    return (-info.max if info.bits == 16 else info.min), info.max


def span(quantization: Quantization, dtype) -> tuple[float, float]:
    """Returns the smallest and largest real value that a format can hold."""
    lowest, highest = limits(dtype)
    scale, zero_point = xp.real(quantization.scale), xp.astype(quantization.zero_point, np.float64)
    return xp.real(scale * (lowest - zero_point)), xp.real(scale * (highest - zero_point))


def packed(integers) -> np.ndarray:
    """Returns 4-bit integers as a file stores them: two per byte, the first in the low half."""
    halves = np.append(np.ravel(integers).astype(np.int8), np.int8(0))[: -(-np.size(integers) // 2) * 2] & 0xF
    return (halves[::2] | halves[1::2] << 4).astype(np.uint8)


def unpacked(content, shape) -> np.ndarray:
    """Returns the int8 array of a shape whose 4-bit integers a file stores in these bytes."""
    stored = np.frombuffer(bytes(content), np.int8)
    halves = np.stack([stored << 4 >> 4, stored >> 4], axis=1)
    return halves.ravel()[: math.prod(shape)].reshape(shape)


def affine_int8(low, high) -> Quantization:
    """Returns the asymmetric int8 format over [low, high], widened so that zero is exact."""
    low, high = xp.minimum(low, 0.0), xp.maximum(high, 0.0)
    scale = (high - low) / (INT8_MAX - INT8_MIN)
    nothing = scale == 0.0  # any scale can hold a signal that is always zero
    scale = xp.where(nothing, 1.0, xp.maximum(scale, LEAST_SCALE))
    zero_point = xp.clip(xp.round(INT8_MIN - low / scale), INT8_MIN, INT8_MAX)
    return Quantization(xp.real(scale), xp.whole(xp.where(nothing, 0.0, zero_point)))


def symmetric_int16(low, high) -> Quantization:
    """Returns the int16 format over [low, high]; its kernels require a zero point of 0."""
    scale = xp.maximum(-low, high) / INT16_MAX
    return Quantization(xp.real(xp.where(scale == 0.0, 1.0, xp.maximum(scale, LEAST_SCALE))), 0)


def no_finer(quantization: Quantization, scale) -> Quantization:
    """Returns the format with a scale of at least `scale`; the zero point stays, so the range only grows."""
    return replace(quantization, scale=xp.real(xp.maximum(quantization.scale, scale)))


def off_powers_of_two(quantization: Quantization) -> Quantization:
    """Returns an int16 format whose scale LiteRT's ADD and SUB don't take for a power of two, at most 2⁻⁷ coarser.

    If the scales of both terms and of the sum are powers of two up to a factor of 2^0.001, those kernels shift instead
    of multiplying, and refuse a sum that is coarser than both terms (LiteRT 2.3, add.cc and sub.cc). The difference of
    two saturated tanh is one: 2 / 32767 is near 2⁻¹⁴. Sums of measured products meet three such scales by chance alone.
    """
    fraction, _ = xp.frexp(xp.astype(quantization.scale, np.float64))
    power = quantization.scale / fraction  # of which the fraction is from 1/2 to 1
    clear = 1.0 + 2.0**-8  # few bits, as in `short`
    scale = xp.where(fraction > 1.0 - _NEAR, power * clear, quantization.scale)
    scale = xp.where(fraction < 0.5 * (1.0 + _NEAR), 0.5 * power * clear, scale)
    return replace(quantization, scale=xp.real(scale))


def short(quantization: Quantization, dtype) -> Quantization:
    """Returns the format with a scale of few bits, at most 2⁻⁸ (int16) or 2⁻¹⁵ (int8) larger.

    So the ends of the range, which are the scale times at most 255 or 32767, are exact float32 numbers, and whoever
    computes the format from them gets the same one: the stock converter does.
    """
    bits = 2.0 ** (9 if np.dtype(dtype) == np.int16 else 16)
    fraction, _ = xp.frexp(xp.astype(quantization.scale, np.float64))
    power = quantization.scale / fraction
    return replace(quantization, scale=xp.real(power * (-xp.floor(-fraction * bits) / bits)))
