"""Writes the values of a model that depend on no input, such as an initial state of ones."""

import numpy as np


def write(main, name, array, scheme):
    """Adds a constant; real numbers take the integers of a scheme that has them.

    Args:
        main: the main `Graph`.
        name: of the value.
        array: its value.
        scheme: the quantization scheme.

    Returns:
        Its tensor.
    """
    if not scheme.integer or array.dtype.kind != "f":
        return main.constant(name, array)
    quantization = scheme.format(float(array.min()), float(array.max()))
    limits = np.iinfo(scheme.dtype)
    integers = np.round(array / quantization.scale) + quantization.zero_point
    return main.constant(name, np.clip(integers, limits.min, limits.max).astype(scheme.dtype), quantization)
