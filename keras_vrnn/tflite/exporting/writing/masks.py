"""Writes the masks of a recurrence with operators that every runtime has; `capture/masks.py` finds them."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting.writing import operators as op

# LiteRT compares int8 values as round(256 · scale · integer) in fixed point: with a smaller scale different integers
# become equal, with a larger one they overflow.
_COMPARABLE = 2.0**-8, 2.0**-1


def write(graph, name, mask, values):
    """Adds a mask, bool (B,T), to a graph.

    Args:
        graph: the main `Graph`.
        name: the name of the mask.
        mask: a `parts.Mask`.
        values: value name -> tensor.

    Returns:
        The tensor of the mask.
    """
    x = values[mask.source]
    shape, dtype, quantization = graph.shape(x), graph.dtype(x), graph.quantization(x)
    value = mask.value
    if quantization is not None:
        limits = np.iinfo(dtype)
        value = np.clip(round(value / quantization.scale) + quantization.zero_point, limits.min, limits.max)
    if dtype == np.int8 and not _COMPARABLE[0] <= quantization.scale <= _COMPARABLE[1]:
        quantization = Quantization(_COMPARABLE[1], 0)  # of the integers themselves, whatever they stand for
        x = op.cast(graph, f"{name}/int8", x, dtype, quantization)
    if dtype == np.int16:  # TFLite Micro can't compare int16
        x, dtype, quantization = op.cast(graph, f"{name}/int32", x, np.int32), np.dtype("int32"), None
    value = graph.constant("value", np.array([value], dtype), quantization)
    if len(shape) == 2:
        counts = op.compare(graph, "NOT_EQUAL", name, x, value)
    else:  # TFLite Micro has no REDUCE_ANY
        equal = op.compare(graph, "EQUAL", f"{name}/equal", x, value)
        masked = graph.tensor(f"{name}/masked", shape[:2], np.bool_)
        axis = graph.constant("axis", np.array([2], np.int32))
        graph.operator("REDUCE_ALL", [equal, axis], [masked], schema.ReducerOptionsT())
        counts = op.unary(graph, "LOGICAL_NOT", name, masked, None)
    return op.reverse(graph, f"{name}/backwards", counts) if mask.backwards else counts


def write_number(graph, name, mask, dtype):
    """Adds a mask as the numbers 1.0 and 0.0, (B,T), in an integer type or float32."""
    quantization = None if dtype == np.float32 else Quantization(1.0, 0)
    return op.cast(graph, name, mask, dtype, quantization)
