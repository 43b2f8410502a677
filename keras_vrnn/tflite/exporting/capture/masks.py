"""Finds the masks of recurrences in a traced graph.

Keras compares token ids (Embedding, mask_zero=True) or all features of a step (Masking) with a value. The stock
converter can't quantize such a comparison to int16x8, and at int8 it uses operators that TFLite Micro lacks. So the
stock part contains no masks, and `writing/masks.py` writes them.
"""

import numpy as np
import tensorflow as tf


def find(tensor):
    """Returns (source tensor, value, backwards) of a mask in a traced graph, or None if it is not such a comparison."""
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
