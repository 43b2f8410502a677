"""Writes the activation φ of a cell in TFLite operators.

The first of four ways that applies:

    tanh, sigmoid                        an operator of its own
    linear, relu, relu6, hard_tanh       fused into the addition before it
    any other elementwise one, int8      a table of its 256 values, read by GATHER: exact and equal on every runtime
    any other, float32                   the operators that the stock converter gives it

Needs the TensorFlow backend.
"""

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization.formats import INT8_MAX, INT8_MIN
from keras_vrnn.tflite.exporting import stock
from keras_vrnn.tflite.exporting.writing import operators as op

_NAMES = {
    function: name
    for name in ("tanh", "sigmoid", "linear", "relu", "relu6", "hard_tanh", "hard_sigmoid")
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


class Activation:
    """A Keras activation function.

    Attributes:
        function: the function.
        name: "tanh" and so on for functions with a TFLite operator; otherwise the function's own name.
    """

    def __init__(self, function):
        self.function = function
        self.name = _name_of(function)

    def __call__(self, a):
        """Returns φ(a) as a float32 array."""
        return np.asarray(self.function(tf.constant(np.asarray(a, np.float32))), np.float32)

    @property
    def is_native(self):
        """Whether TFLite has an operator for it, fused or separate."""
        return self.name in _OPERATORS or self.name in _FUSED

    @property
    def is_operator(self):
        """Whether TFLite has a separate operator for it."""
        return self.name in _OPERATORS

    @property
    def is_fused(self):
        """Whether the addition before it computes it too, so that no tensor holds z + r."""
        return self.name in _FUSED

    def check(self, layer, scheme):
        """Checks that the activation of a layer can be written in a quantization scheme.

        Raises:
            ValueError: if it can't.
        """
        if self.is_native or not scheme.integer:
            return
        self._check_elsewhere(layer, scheme, (*_OPERATORS, *_FUSED))

    def check_wide(self, layer, scheme):
        """As `check`, for an activation that is computed in 16 bits."""
        if self.is_native or self.name == "hard_sigmoid" or not scheme.integer:
            return
        self._check_elsewhere(layer, scheme, (*_OPERATORS, *_FUSED, "hard_sigmoid"))

    def _check_elsewhere(self, layer, scheme, native):
        subject = f"model: layer {layer!r} has the activation {self.name!r}"
        if scheme.dtype != np.int8:
            raise ValueError(
                f"{subject}, for which there is no int16 operator; {', '.join(native)} can be exported "
                "with quantization='int16x8'. Choose quantization='int8', which holds it as a table, or 'float32'."
            )
        probe = np.linspace(-3, 3, 8, dtype=np.float32)
        together, alone = self(probe[None]), self(np.repeat(probe[:, None], 8, axis=1))
        if together.shape != (1, 8) or not np.allclose(together[0], alone[:, 0], equal_nan=True):
            raise ValueError(
                f"{subject}, which mixes the units; with quantization='int8' only elementwise activations can be "
                "exported. Choose quantization='float32', 'float16' or 'dynamic'."
            )

    def write(self, graph, z, r, sum_format, output_format):
        """Adds φ(z + r) to a graph and returns its tensor, given the formats of z + r and φ(z + r)."""
        if self.name in _FUSED:
            return op.add(graph, "h_t", z, r, output_format, _FUSED[self.name])
        return self.apply(graph, "h_t", op.add(graph, "a", z, r, sum_format), output_format)

    def apply(self, graph, name, a, output_format):
        """Adds φ(a) to a graph and returns its tensor, given the format of φ(a); fused activations in float only."""
        if self.name in _OPERATORS:
            return op.unary(graph, _OPERATORS[self.name], name, a, output_format)
        if graph.dtype(a) == np.int8:
            return self._look_up(graph, name, a, output_format)
        return self._inline(graph, a)

    def _look_up(self, graph, name, a, target):
        """Adds φ as a table of its values for the 256 possible integers."""
        source = graph.quantization(a)
        integers = np.arange(INT8_MIN, INT8_MAX + 1)
        real = self(source.scale * (integers - source.zero_point))
        values = np.clip(np.round(real / target.scale) + target.zero_point, INT8_MIN, INT8_MAX).astype(
            np.int8
        )
        index = op.cast(graph, "a_integer", a, np.int32)
        index = op.add(
            graph, "position", index, graph.constant("first", np.array([-INT8_MIN], np.int32)), None
        )
        return op.take(graph, name, graph.constant("table", values, target), index)

    def _inline(self, graph, a):
        """Adds φ as the operators that the stock converter gives it."""
        signature = [tf.TensorSpec(graph.shape(a), tf.float32, name="a")]
        traced = tf.function(self.function, input_signature=signature, autograph=False)
        return graph.inline(stock.convert(traced.get_concrete_function(), "float32"), a)


def _name_of(function):
    known = next((name for other, name in _NAMES.items() if other is function), None)
    if known is not None:
        return known
    name = getattr(function, "__name__", type(function).__name__)
    return f"custom {name}" if name in _NAMES.values() else name
