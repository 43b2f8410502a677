"""The activation φ of a recurrence, as TFLite can write it.

Four ways, the first that applies:

    tanh, sigmoid                        an operator of its own
    linear, relu, relu6, hard_tanh       fused into the addition before it
    any other elementwise, int8          a table of its 256 values, read by GATHER: exact, and the same on every runtime
    any other, float32                   what the stock converter makes of it

Needs the TensorFlow backend.
"""

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization.schemes import INT8_MAX, INT8_MIN, IntegerRules
from keras_vrnn.tflite.exporting import stock
from keras_vrnn.tflite.exporting.writing import operators as op

_NAMES = {
    function: name
    for name in ("tanh", "sigmoid", "linear", "relu", "relu6", "hard_tanh")
    for function in (
        getattr(keras.activations, name),
        getattr(keras.ops, name, None),
        getattr(tf.nn, name, None),
    )
    if function is not None
}
_OPERATORS = {"tanh": "TANH", "sigmoid": "LOGISTIC"}
_FUSED = {
    "linear": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
    "hard_tanh": schema.ActivationFunctionType.RELU_N1_TO_1,
}


def name_of(function):
    """The name under which the rules know an activation; of others the name they have."""
    known = next((name for other, name in _NAMES.items() if other is function), None)
    if known is not None:
        return known
    name = getattr(function, "__name__", type(function).__name__)
    return f"custom {name}" if name in _NAMES.values() else name


def is_native(recurrence):
    """Whether TFLite has an operator for a recurrence's activation, fused or not."""
    return recurrence.activation in _OPERATORS or recurrence.activation in _FUSED


def apply(recurrence, a):
    """φ(a) as a float32 array."""
    return np.asarray(recurrence.function(tf.constant(np.asarray(a, np.float32))), np.float32)


def check(recurrence, kind):
    """Makes sure that the activation can be written with the rules of class `kind`.

    Raises:
        ValueError: it can't.
    """
    if is_native(recurrence) or not issubclass(kind, IntegerRules):
        return
    layer = f"model: layer {recurrence.layer!r} has the activation {recurrence.activation!r}"
    if kind.dtype != np.int8:
        raise ValueError(
            f"{layer}, for which there is no int16 operator; {', '.join((*_OPERATORS, *_FUSED))} can be exported with "
            "quantization='int16x8'. Choose quantization='int8', which holds it as a table, or 'float32'."
        )
    probe = np.linspace(-3, 3, 8, dtype=np.float32)
    together, alone = apply(recurrence, probe[None]), apply(recurrence, np.repeat(probe[:, None], 8, axis=1))
    if together.shape != (1, 8) or not np.allclose(together[0], alone[:, 0], equal_nan=True):
        raise ValueError(
            f"{layer}, which mixes the units; only an elementwise one can be exported with quantization='int8'. "
            "Choose quantization='float32', 'float16' or 'dynamic'."
        )


def write(recurrence, rules, graph, z_t, r):
    """Adds φ(z_t + r) to a graph and returns its tensor."""
    name, state = recurrence.activation, rules.signal("h")
    native = is_native(recurrence)
    if native and name in _FUSED:
        return op.add(graph, "h_t", z_t, r, state, _FUSED[name])
    a = op.add(graph, "a", z_t, r, rules.signal("a"))
    if native:
        return op.unary(graph, _OPERATORS[name], "h_t", a, state)
    if rules.dtype == np.int8:
        return _look_up(recurrence, rules, graph, a)
    return _inline(recurrence, graph, a)


def _look_up(recurrence, rules, graph, a):
    """φ by a table of its values at the 256 possible integers."""
    source, target = rules.signal("a"), rules.signal("h")
    integers = np.arange(INT8_MIN, INT8_MAX + 1)
    real = apply(recurrence, source.scale * (integers - source.zero_point))
    values = np.clip(np.round(real / target.scale) + target.zero_point, INT8_MIN, INT8_MAX).astype(np.int8)
    index = op.cast(graph, "a_integer", a, np.int32)
    index = op.add(graph, "position", index, graph.constant("first", np.array([-INT8_MIN], np.int32)), None)
    return op.take(graph, "h_t", graph.constant("table", values, target), index)


def _inline(recurrence, graph, a):
    """φ by the operators that the stock converter gives it."""
    signature = [tf.TensorSpec(graph.shape(a), tf.float32, name="a")]
    traced = tf.function(recurrence.function, input_signature=signature, autograph=False)
    return graph.inline(stock.convert(traced.get_concrete_function(), "float32"), a)
