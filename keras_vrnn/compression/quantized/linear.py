"""Dense layers and convolutions that compute the integers of the exported file.

    y = φ(x·W + b)

The sum is one operator with its own format. φ is fused into it (linear, relu, relu6) or an operator of its own.
"""

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import INT8_MAX, LEAST_SCALE, Quantization, short

_FUSED = {"linear": None, "relu": "RELU", "relu6": "RELU6"}
_OWN = ("tanh", "sigmoid", "softmax")


class Linear:
    """What the layers of this file share; a mixin of a Keras layer with `kernel`, `bias` and `activation`.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: those of the Keras layer.
    """

    def __init__(self, *args, scheme, **kwargs):
        super().__init__(*args, **kwargs)
        self.scheme = scheme

    def build(self, input_shape):
        super().build(input_shape)
        self.signals = signals.Signals(self, ("sum",), self.scheme)

    def call(self, inputs, training=None):
        if signals.is_calibrating():
            total = self._linear(inputs, ops.convert_to_tensor(self.kernel), self.bias)
            made = self.activation(total)
            self.signals.widen({"sum": np.array(made if self._fused is not None else total)})
            return made
        x, y = signals.format_of(inputs, self), self.signals.format("sum")
        weights, bias = self.stored(x)
        dtype = self.signals.scheme.dtype
        # Integers that have the gradients of the real numbers.
        real_x = inputs / ops.cast(x.scale, "float32")
        real_w = self.kernel / ops.cast(weights.scale, "float32")
        sums = self._exact_linear(
            signals.straight_through(real_x, ops.round(real_x)),
            signals.straight_through(real_w, ops.cast(weights.integers, "float32")),
        )
        scale = ops.cast(self._per_output(x.scale * weights.scale), "float32")
        total = ops.cast(sums, "float32") * scale
        total = total if self.bias is None else total + self.bias
        if training:
            self._average(total)
        whole = ops.cast(ops.stop_gradient(sums), "int64")
        whole = whole if bias is None else whole + bias.integers
        factor = integer.product_factor(x, Quantization(self._per_output(weights.scale)), y)
        made = integer.rescaled(
            whole, factor, y, dtype, dtype == np.int16, _FUSED.get(self._name_of_activation)
        )
        exact = integer.dequantize(made, y)
        if self._fused is not None:
            low, high = (ops.cast(end, "float32") for end in integer.real_ends(y, dtype))
            real = ops.clip(self.activation(total), low, high)
            return signals.carrying(signals.straight_through(real, exact), y)
        return self._activated(signals.straight_through(total, exact), made, y, training)

    def _activated(self, total, integers, y, training):
        """φ as an operator of its own."""
        name, scheme = self._name_of_activation, self.signals.scheme
        target = scheme.output_format(name)
        real = self.activation(total)
        if not (training and name in ("sigmoid", "softmax")):
            # In training, a probability that is rounded to 0 would have an infinite loss without a gradient.
            if name == "softmax":
                exact = integer.quantize(real, target, scheme.dtype)
            else:
                exact = {"tanh": integer.tanh, "sigmoid": integer.logistic}[name](integers, y, scheme.dtype)
            real = signals.straight_through(real, integer.dequantize(exact, target))
        return signals.carrying(real, target)

    def stored(self, x):
        """Returns the weights and the bias as the file holds them, for inputs in the format `x`."""
        kernel = ops.convert_to_tensor(self.kernel)
        largest = ops.max(ops.abs(ops.stop_gradient(kernel)), axis=self._axes(), keepdims=True)
        scale = ops.maximum(ops.cast(largest, "float64") / INT8_MAX, LEAST_SCALE)
        scale = short(Quantization(scale), np.int8).scale
        integers = ops.round(ops.cast(ops.stop_gradient(kernel), "float64") / scale)
        weights = Integers(ops.cast(integers, "int64"), scale)
        if self.bias is None:
            return weights, None
        step = self._per_output(x.scale * scale)
        bias = ops.round(ops.cast(ops.stop_gradient(self.bias), "float64") / step)
        return weights, Integers(ops.cast(bias, "int64"), step)

    # Keras' own methods for these layers save the kernel and the bias only.

    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)

    @property
    def _name_of_activation(self):
        return next(
            name
            for name in (*_FUSED, *_OWN)
            if self.activation in (getattr(keras.activations, name), getattr(ops, name, None))
        )

    @property
    def _fused(self):
        """Whether the sum's operator computes φ: None if not."""
        return True if self._name_of_activation in _FUSED else None

    def _average(self, total):
        made = ops.stop_gradient(self.activation(total) if self._fused is not None else total)
        self.signals.average(ops.expand_dims(ops.stack([ops.min(made), ops.max(made)]), 0))

    def get_config(self):
        return {**super().get_config(), "scheme": self.scheme}


class Integers:
    """A constant of a file: integers and their scale."""

    def __init__(self, integers, scale):
        self.integers, self.scale = integers, scale


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedDense(Linear, keras.layers.Dense):
    """A `Dense` that computes the integers of the exported file; made by `kv.compression.quantize_aware`."""

    def _linear(self, x, kernel, bias):
        made = ops.matmul(x, kernel)
        return made if bias is None else made + bias

    def _exact_linear(self, x, kernel):
        from keras_vrnn.compression.quantized.step import exact_product

        return exact_product(x, kernel, self.signals.scheme.dtype)

    def _axes(self):
        # int16 products of this operator have one scale of weights: TFLite Micro on CMSIS-NN takes no more.
        return (0, 1) if self.signals.scheme.dtype == np.int16 else (0,)

    def _per_output(self, scale):
        return ops.reshape(scale, (-1,))
