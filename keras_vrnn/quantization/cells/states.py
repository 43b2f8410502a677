"""How the states of gated cells are kept with integers.

A state of 8 bits would swallow what a slow unit adds to it: with a gate that opens by 1/100, changes of less than 0.4
of the whole range. So with int8 signals, states are kept in more bits, and the step adds exact products of integers:

    blend        s ← s + g · (n − h)           s: int32, in steps of h divided by those of g
    accumulate   s ← f · s + i · n · 2^k        s: int16 between the steps, int32 before it is rounded
    leak         s ← s + A · n − B · h          s: int32, in steps of h / 2^16; A and B stand for α and 1 − β

h is s rounded to int8: the error of the rounding does not add up, since s keeps it. With int16 signals, states are
int16 signals. The cell state of Li and Alvarez (2021, arXiv:2101.05453, section 3) has int16 too.
"""

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization.formats import INT16_MAX, Quantization, short

# After the name of a state: signals of its update where it is computed in int16.
CHANGE, KEPT, ADDED = "/change", "/kept", "/added"
LEAK_BITS = 16
# Activations whose outputs are between -1 and 1, so that averages of them are too.
BOUNDED = ("tanh", "sigmoid")
_ROOM = 2.0  # of a state in 16 bits that its activation does not bound, beyond the calibration data
_LEAST_SHIFT, _LARGEST_SHIFT = -6, 12  # of `accumulate`, whose sums fit 31 bits


def signal_format(scheme, ends, bounded_by):
    """Returns the format in which the rest of the model reads a state.

    Args:
        scheme: a scheme with integer signals.
        ends: its measured (low, high).
        bounded_by: the name of the activation between whose ends it stays, or None.
    """
    if bounded_by in BOUNDED:
        return scheme.output_format(bounded_by)
    if scheme.dtype == np.int16:
        largest = xp.maximum(-ends[0], ends[1]) * _ROOM
        ends = -largest, largest
    return short(scheme.format(*ends), scheme.dtype)  # other layers read it


def power_of_two(quantization):
    """Returns a format with the next larger scale that is a power of two."""
    fraction, _ = xp.frexp(xp.astype(quantization.scale, np.float64))
    power = quantization.scale / fraction  # of which the fraction is from 1/2 to 1
    scale = xp.where(fraction == 0.5, quantization.scale, power)
    return Quantization(xp.real(scale), quantization.zero_point)


def blend_format(h, gate):
    """Returns the format of the kept state of `blend`, int32."""
    return Quantization(h.scale * gate.scale, 0)


def one(gate):
    """Returns the integer, without zero point, that stands for 1 in the format of a gate."""
    return xp.whole(xp.round(1.0 / xp.astype(gate.scale, np.float64)))


def cell_format(ends, new):
    """Returns the format of the kept state of `accumulate`, int16: a power of two from that of the new values."""
    largest = xp.maximum(-ends[0], ends[1]) * _ROOM
    ratio = xp.astype(new.scale, np.float64) * INT16_MAX / xp.maximum(largest, new.scale)
    _, exponent = xp.frexp(ratio)
    shift = xp.clip(xp.astype(exponent, np.int64) - 1, _LEAST_SHIFT, _LARGEST_SHIFT)
    factor = 2.0 ** xp.astype(shift, np.float64)
    return Quantization(xp.real(new.scale / factor), 0)


def cell_factors(new, kept):
    """Returns the powers of two that multiply f · s and i · n, of which one is 1."""
    ratio = xp.astype(new.scale, np.float64) / kept.scale
    return tuple(xp.whole(xp.round(xp.maximum(r, 1.0))) for r in (1.0 / ratio, ratio))


SIX = Quantization(6 / INT16_MAX, 0)  # of numbers from 0 to 6, of which a hard sigmoid is made at int16


def constant(value):
    """Returns a positive real number as an int16 integer, and its format."""
    value = xp.astype(value, np.float64)
    return xp.whole(xp.round(value * (INT16_MAX / value))), Quantization(xp.real(value / INT16_MAX), 0)


def leak_format(h):
    """Returns the format of the kept state of `leak`, int32."""
    return Quantization(h.scale / 2.0**LEAK_BITS, 0)


def leak_factors(alpha, beta, new, h):
    """Returns A and B, integers."""
    kept = leak_format(h).scale
    alpha, beta = (xp.astype(rate, np.float64) for rate in (alpha, beta))
    factors = alpha * (new.scale / kept), (1.0 - beta) * (h.scale / kept)
    limit = 2.0**23  # times 128 it fits int32
    return tuple(xp.whole(xp.round(xp.clip(factor, -limit, limit))) for factor in factors)
