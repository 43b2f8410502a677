"""The masks of a recurrence: found in the traced graph, and written by operators that every runtime has.

Keras compares token ids (Embedding, mask_zero=True) or all features of a step (Masking) with a value. The stock
converter can't quantize such a comparison to int16x8, and at int8 it uses operators unknown to TFLite Micro.

Needs the TensorFlow backend.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization.schemes import Quantization
from keras_vrnn.tflite.exporting.writing import operators as op


@dataclass(frozen=True)
class Mask:
    """The steps that count: those at which `source`, (B,T) or in any feature (B,T,F), is other than `value`.

    Of quantized features the integers are compared: a step counts as masked if it can't be told from one.
    """

    source: str
    value: float
    backwards: bool = False  # in reverse order, as a layer that goes backwards hands it on

    def of(self, source):
        """Returns the mask of an array."""
        counts = source != self.value
        counts = counts if counts.ndim == 2 else counts.any(axis=-1)
        return counts[:, ::-1] if self.backwards else counts


def find(tensor):
    """Returns (source tensor, value, backwards) of a mask in a traced graph, or None if it is made in another way."""
    backwards = False
    while tensor.op.type in ("Cast", "NotEqual", "Squeeze", "Reshape", "Identity", "ReverseV2"):
        if tensor.op.inputs[0].dtype != tf.bool:
            break
        backwards ^= tensor.op.type == "ReverseV2"
        tensor = tensor.op.inputs[0]  # Keras casts to bool by another comparison with 0
    features = tensor.op.type == "Any"
    if features:
        axis = tf.get_static_value(tensor.op.inputs[1])
        tensor = tensor.op.inputs[0]
        if axis is None or np.ravel(axis).tolist() not in ([-1], [len(tensor.shape) - 1]):
            return None
    if tensor.op.type != "NotEqual":
        return None
    source, other = tensor.op.inputs
    value = tf.get_static_value(other)
    if value is None or np.size(value) != 1 or len(source.shape) != (3 if features else 2):
        return None
    return source, float(np.ravel(value)[0]), backwards


def write(graph, name, mask, values):
    """Adds a mask, bool (B,T), to a graph.

    Args:
        graph: the main `Graph`.
        name: of the mask.
        mask: a `Mask`.
        values: value name -> tensor.

    Returns:
        Its tensor.
    """
    x = values[mask.source]
    shape, dtype, quantization = graph.shape(x), graph.dtype(x), graph.quantization(x)
    value = mask.value
    if quantization is not None:
        limits = np.iinfo(dtype)
        value = np.clip(round(value / quantization.scale) + quantization.zero_point, limits.min, limits.max)
    if dtype == np.int16:  # TFLite Micro compares no int16
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
    """Adds a mask's tensor as 1.0 and 0.0, (B,T), in an integer type or float32."""
    quantization = None if dtype == np.float32 else Quantization(1.0, 0)
    return op.cast(graph, name, mask, dtype, quantization)
