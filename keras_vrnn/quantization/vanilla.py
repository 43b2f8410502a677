"""The number formats of the vanilla recurrence, and of any sum of two products that an activation reads.

z = x·W_x + b        r = h·W_h        a = z + r        h = φ(a)
"""

import functools

from keras_vrnn.quantization import arrays as xp

# Activations that the addition before them computes too, so that no tensor holds z + r -> its option.
FUSED = {"linear": None, "relu": "RELU", "relu6": "RELU6", "hard_tanh": "RELU_N1_TO_1"}


def formats(scheme, ranges, x, kernel, recurrent_kernel, activation):
    """Returns signal -> `Quantization` for "z", "r", "a" and "h".

    Args:
        scheme: a scheme with integer signals.
        ranges: signal -> (low, high).
        x: the format of x.
        kernel, recurrent_kernel: W_x, (features, units), and W_h, (units, units).
        activation: the name of φ.
    """
    fixed = scheme.output_format(activation)
    h = scheme.format(*ranges["h"]) if fixed is None else fixed
    is_fused = activation in FUSED
    terms = [
        (ranges[name], functools.partial(scheme.product_format, x=operand, matrix=matrix))
        for name, operand, matrix in (("z", x, kernel), ("r", h, recurrent_kernel))
    ]
    (z, r), result = sum_formats(scheme, activation, ranges["a"], *terms, result=h if is_fused else None)
    a = scheme.format(*_within(ranges["a"], *scheme.saturation(activation)))
    if not is_fused:
        a = result
    elif fixed is None:
        h = result
    return {"z": z, "r": r, "a": a, "h": h}


def sum_formats(scheme, activation, total, *terms, result=None):
    """Returns the formats of the two terms of a sum, and of the sum.

    Args:
        scheme: a scheme with integer signals.
        activation: the name of the activation that reads the sum.
        total: (low, high) of the sum.
        *terms: for both, (low, high) and a function (low, high) → format.
        result: the format of what the addition makes; None for that of the sum.
    """
    low, high = scheme.saturation(activation)
    first, second = (ends for ends, _ in terms)
    formats = [
        # The format needs no room for a term so large that the sum saturates whatever the other term is.
        made(*_within(own, low - other[1], high - other[0]))
        for (own, made), other in zip(terms, (second, first), strict=True)
    ]
    return scheme.sum_formats(
        formats, scheme.format(*_within(total, low, high)) if result is None else result
    )


def _within(pair, least, most):
    return [xp.clip(end, least, most) for end in pair]
