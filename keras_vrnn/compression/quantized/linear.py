"""Dense layers and convolutions that compute the integers of the exported file.

    y = φ(x·W + b)

The sum is one operator with its own format. φ is fused into it (linear, relu, relu6) or an operator of its own.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import INT8_MAX, LEAST_SCALE, Quantization, short
from keras_vrnn.quantization.softmax import softmax

FUSED = {"linear": None, "relu": "RELU", "relu6": "RELU6"}
ACTIVATIONS = (*FUSED, "tanh", "sigmoid", "softmax")


class Linear(signals.Quantized):
    """What dense layers and convolutions share; a mixin of a Keras layer with `kernel`, `bias` and `activation`."""

    kernel: Any
    bias: Any
    activation: Any
    _single_scale: bool  # whether the kernel multiplies the scales of x and W in float32 if W has one

    def build(self, input_shape):
        super().build(input_shape)
        self.signals = signals.Signals(self, ("sum",), self.scheme)

    def call(self, inputs, training=None):
        if signals.is_calibrating():
            total = self._linear(inputs, ops.convert_to_tensor(self.kernel), self.bias)
            made = self.activation(total)
            self.signals.widen({"sum": ops.convert_to_numpy(made if self._is_fused else total)})
            return made
        x, y = signals.format_of(inputs, self), self.signals.format("sum")
        weights, bias = self._stored(x)
        dtype = self.signals.scheme.dtype
        # Integers that have the gradients of the real numbers.
        real_x = inputs / ops.cast(x.scale, "float32")
        real_w = self.kernel / ops.cast(weights.scale, "float32")
        sums = self._exact_linear(
            signals.straight_through(real_x, ops.round(real_x)),
            signals.straight_through(real_w, ops.cast(weights.integers, "float32")),
        )
        total = ops.cast(sums, "float32") * ops.cast(self._per_output(x.scale * weights.scale), "float32")
        total = total if self.bias is None else total + self.bias
        whole = ops.cast(ops.stop_gradient(sums), "int64")
        whole = whole if bias is None else whole + bias.integers
        scales = Quantization(self._per_output(weights.scale))
        reals = integer.product_factors(x, scales, y, single=self._single_scale)
        # A bias, which has 64 bits at int16, has been added.
        made = integer.from_sums(whole, None, reals, y, dtype, FUSED.get(self._activation_name))
        self._note(x, weights, bias, y)
        if not self._is_fused:
            if training:
                self.signals.average(signals.ends(total))
            total = signals.straight_through(total, integer.dequantize(made, y))
            return self._activated(total, made, y, training)
        real = self.activation(total)
        if training:
            self.signals.average(signals.ends(real))
        return signals.rounded(real, made, y, dtype)

    # What a subclass states: the sum in float32 and of exact integers, the axes of the kernel that share a scale, the
    # scales as one per output, and the kernel of the file if it has another shape.

    def _linear(self, x, kernel, bias):
        raise NotImplementedError

    def _exact_linear(self, x, kernel):
        raise NotImplementedError

    def _axes(self):
        raise NotImplementedError

    def _per_output(self, scale):
        raise NotImplementedError

    def _in_file(self, kernel):
        return kernel

    def plain(self, inputs, note, mark, **_):
        """Returns what the file computes as float operators, whose results `mark` gives their formats."""
        kernel, bias = note.constants["kernel"][0], note.constants.get("bias", (None,))[0]
        made = self._linear(inputs, kernel, bias)
        if self._is_fused:
            return mark(self.activation(made), note.formats["sum"])
        return mark(self.activation(mark(made, note.formats["sum"])), note.formats["out"])

    def _activated(self, total, integers, y, training):
        """φ as an operator of its own."""
        name, scheme = self._activation_name, self.signals.scheme
        target = scheme.output_format(name)
        real = self.activation(total)
        if training and name in ("sigmoid", "softmax"):
            # A probability that is rounded to 0 would have an infinite loss without a gradient.
            return signals.carrying(real, target)
        exact = {"tanh": integer.tanh, "sigmoid": integer.logistic, "softmax": softmax}[name]
        made = exact(integers, y, scheme.dtype)
        return signals.rounded(real, made, target, scheme.dtype)

    def _stored(self, x):
        """Returns the weights and the bias as the file holds them, for inputs in the format `x`."""
        kernel = ops.cast(ops.stop_gradient(ops.convert_to_tensor(self.kernel)), "float64")
        scale, limit = self._weight_scale(kernel)
        scale = short(Quantization(scale), np.int8).scale
        weights = Integers(ops.cast(ops.clip(ops.round(kernel / scale), -limit, limit), "int64"), scale)
        if self.bias is None:
            return weights, None
        step = self._per_output(x.scale * scale)
        bias = ops.round(ops.cast(ops.stop_gradient(ops.convert_to_tensor(self.bias)), "float64") / step)
        return weights, Integers(ops.cast(bias, "int64"), step)

    def _weight_scale(self, kernel):
        """Returns the scale of the kernel, which broadcasts to it, and the largest integer."""
        largest = ops.max(ops.abs(kernel), axis=self._axes(), keepdims=True)
        return ops.maximum(largest / INT8_MAX, LEAST_SCALE), INT8_MAX

    def _note(self, x, weights, bias, y):
        constants = {"kernel": (self._in_file(weights.real()), ops.reshape(weights.scale, (-1,)))}
        if bias is not None:
            constants["bias"] = bias.real(), bias.scale
        formats = {"sum": y, "operand": x}
        if not self._is_fused:
            formats["out"] = self.signals.scheme.output_format(self._activation_name)
        signals.note(self, formats, constants)

    @property
    def _activation_name(self):
        return next(name for name in ACTIVATIONS if is_function(self.activation, name))

    @property
    def _is_fused(self):
        """Whether the operator of the sum computes φ too."""
        return self._activation_name in FUSED

    # Keras' own methods for these layers save the kernel and the bias only.

    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)


class Integers:
    """A constant of a file: integers and their scale, which broadcasts."""

    def __init__(self, integers, scale):
        self.integers, self.scale = integers, scale

    def real(self):
        """Returns the real numbers as float32."""
        return ops.cast(ops.cast(self.integers, "float64") * self.scale, "float32")


def is_function(activation, name):
    """Whether an activation is the function of Keras with this name."""
    return activation in (getattr(keras.activations, name), getattr(ops, name, None))


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedDense(Linear, keras.layers.Dense):
    """A `Dense` that computes the integers of the exported file; made by `kv.compression.quantize_aware`."""

    _single_scale = True

    def call(self, inputs, training=None):
        if signals.is_calibrating():
            self.signals.moments.add(self.kernel, ops.convert_to_numpy(inputs))
        return super().call(inputs, training=training)

    def _linear(self, x, kernel, bias):
        made = ops.matmul(x, kernel)
        return made if bias is None else made + bias

    def _exact_linear(self, x, kernel):
        from keras_vrnn.compression.quantized.step import exact_product

        return exact_product(x, kernel, self.signals.scheme.dtype)

    def plain(self, inputs, note, mark, **_):
        if inputs.shape[-1] == 1:
            inputs = mark(ops.concatenate([inputs, inputs], axis=-1), note.formats["operand"])
        return super().plain(inputs, note, mark)

    def _in_file(self, kernel):
        # The converter may turn a product of one column into MUL and ADD: a second one, times zero, prevents it.
        return ops.pad(kernel, ((0, 1), (0, 0))) if kernel.shape[0] == 1 else kernel

    def _weight_scale(self, kernel):
        scheme = self.signals.scheme
        if scheme.largest_weight == INT8_MAX:
            return super()._weight_scale(kernel)
        return ops.reshape(scheme.weight_scales(ops.transpose(kernel)), (1, 1)), scheme.largest_weight

    def _axes(self):
        # int16 products of this operator have one scale of weights: TFLite Micro on CMSIS-NN takes no more.
        return (0, 1) if self.signals.scheme.dtype == np.int16 else (0,)

    def _per_output(self, scale):
        return ops.reshape(scale, (-1,))
