"""The input of a quantization-aware model."""

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.quantization import integer


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedInput(keras.layers.Layer):
    """Rounds a float input of the model to integers, as the QUANTIZE before the file does.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
    """

    def __init__(self, scheme, **kwargs):
        super().__init__(**kwargs)
        self.scheme = scheme
        self.supports_masking = True

    def build(self, input_shape):
        self.signals = signals.Signals(self, ("x",), self.scheme)

    def call(self, inputs, training=None):
        if signals.is_calibrating():
            self.signals.widen({"x": np.array(inputs)})
            return ops.convert_to_tensor(inputs)
        if training:
            self.signals.average(ops.expand_dims(ops.stack([ops.min(inputs), ops.max(inputs)]), 0))
        x, dtype = self.signals.format("x"), self.signals.scheme.dtype
        low, high = (ops.cast(end, "float32") for end in integer.real_ends(x, dtype))
        exact = integer.dequantize(integer.quantize(ops.stop_gradient(inputs), x, dtype), x)
        return signals.carrying(signals.straight_through(ops.clip(inputs, low, high), exact), x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scheme": self.scheme}
