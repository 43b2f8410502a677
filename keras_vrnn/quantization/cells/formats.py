"""The number formats of gated recurrences, whose sums and gates have 16 bits where their products have 8.

    int8       products int8 → int8, of int8 weights; gates, sums and states int16
    int16x8    all signals int16, of int8 weights

A step of 1/128 of a state would swallow what a slow unit adds to it: with an update gate of 0.99, changes below 0.4 of
the whole range. See docs/decisions/cells.md.
"""

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization.formats import Quantization, short
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.quantization.vanilla import FUSED

# The pre-activations beyond which an int8 sum is clipped, where the activation is computed in 16 bits: a sigmoid
# of 8 is 0.9997, which a forget gate needs for a memory of thousands of steps.
_GATES = {"sigmoid": (-8.0, 8.0), "hard_sigmoid": (-3.0, 3.0)}
# Activations whose outputs are between -1 and 1, so that averages of them are too.
BOUNDED = ("tanh", "sigmoid")
# Activations that are computed in 16 bits, by an operator of their own or by the operator before them.
_WIDE = {"tanh", "sigmoid", "hard_sigmoid", *FUSED}
SIX = Quantization(6 / 32767, 0)  # of numbers between 0 and 6
LEAST_SUM = 2.0**-12  # of the larger term's scale: the least scale of a sum of int16 that an ADD computes
_ROOM = 2.0  # of a state that its activation does not bound, beyond the calibration data


def wide(scheme):
    """Returns the scheme of the wide signals: 16 bits with integers, otherwise the same."""
    return SCHEMES["int16x8"] if scheme.integer else scheme


def is_table(activation, dtype):
    """Whether an activation is a table of its values for all int8 numbers."""
    return activation not in _WIDE and dtype == np.int8


def activated_format(scheme, activation, ends):
    """Returns the wide format of an activation's output with the range `ends`, which a table or a sum may have made."""
    fixed = "sigmoid" if activation == "hard_sigmoid" else activation
    return wide(scheme).output_format(fixed) or wide(scheme).format(*ends)


def saturation(scheme, activation):
    """Returns the pre-activations beyond which a narrow sum is clipped."""
    if scheme.dtype == np.int8 and activation in _GATES:
        return _GATES[activation]
    return scheme.saturation(activation)


def sum_formats(scheme, activation, total, *terms):
    """Returns the formats of a narrow sum of two products and of its terms.

    Args:
        scheme: a scheme with integer signals.
        activation: the name of the activation that reads the sum.
        total: (low, high) of the sum.
        *terms: two of ((low, high), the format of the operand, the matrix).
    """
    low, high = saturation(scheme, activation)
    (first, second) = (ends for ends, _, _ in terms)
    # The format needs no room for a term so large that the sum saturates whatever the other term is.
    clipped = [
        [xp.clip(end, low - other[1], high - other[0]) for end in own]
        for own, other in ((first, second), (second, first))
    ]
    formats = [
        scheme.product_format(*ends, operand, matrix)
        for ends, (_, operand, matrix) in zip(clipped, terms, strict=True)
    ]
    return scheme.sum_formats(formats, scheme.format(*(xp.clip(end, low, high) for end in total)))


def state_formats(scheme, ends, bounded_by):
    """Returns the narrow and the wide format of a state.

    Args:
        scheme: a scheme with integer signals.
        ends: its measured (low, high).
        bounded_by: the name of the activation between whose ends it stays, or None.
    """
    if bounded_by in BOUNDED:
        return scheme.output_format(bounded_by), wide(scheme).output_format(bounded_by)
    largest = xp.maximum(-ends[0], ends[1]) * _ROOM
    held = short(wide(scheme).format(-largest, largest), np.int16)  # other layers read the formats of states
    return (held if scheme.dtype == np.int16 else short(scheme.format(*ends), scheme.dtype)), held


def constant(value, zero):
    """Returns a real number as an int16 integer, and its format; `zero` is the format of the number zero."""
    if isinstance(value, float) and value == 0.0:
        return np.int16(0), zero
    size = xp.abs(xp.astype(value, np.float64))
    held = SCHEMES["int16x8"].format(-size, size)
    return xp.narrow(xp.round(xp.astype(value, np.float64) / held.scale), np.int16), held


def widened(quantization: Quantization) -> Quantization:
    """Returns the int16 format that holds the numbers of an int8 format exactly, scaled by 2⁷."""
    return Quantization(quantization.scale / 128, 0)
