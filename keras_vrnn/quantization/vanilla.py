"""The number formats of the vanilla recurrence, and its integer step as the device computes it.

z = x·W_x + b        r = h·W_h        a = z + r        h = φ(a)
"""

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
    low, high = scheme.saturation(activation)
    (z_low, z_high), (r_low, r_high) = ranges["z"], ranges["r"]
    fixed = scheme.output_format(activation)
    h = scheme.format(*ranges["h"]) if fixed is None else fixed

    def within(pair, least, most):
        return [xp.clip(end, least, most) for end in pair]

    # The format needs no room for a term so large that the sum saturates whatever the other term is.
    z = scheme.product_format(*within((z_low, z_high), low - r_high, high - r_low), x, kernel)
    r = scheme.product_format(*within((r_low, r_high), low - z_high, high - z_low), h, recurrent_kernel)
    a = scheme.format(*within(ranges["a"], low, high))
    is_fused = activation in FUSED
    (z, r), result = scheme.sum_formats((z, r), h if is_fused else a)
    if not is_fused:
        a = result
    elif fixed is None:
        h = result
    return {"z": z, "r": r, "a": a, "h": h}
