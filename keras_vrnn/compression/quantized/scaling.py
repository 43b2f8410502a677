"""A product and a sum per channel that compute the integers of the exported file.

    y = x·a + b

This is what a normalization becomes that no linear layer takes up.
"""

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.folding import affine, input_shape
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import LEAST_SCALE, limits

_ABOVE_ONE = float(np.nextafter(np.float32(1), np.float32(2)))


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedScaling(signals.Quantized):
    """Multiplies each channel by a factor and adds an offset; made by `kv.compression.quantize_aware`.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer="ones")
        self.offset = self.add_weight(name="offset", shape=(input_shape[-1],), initializer="zeros")
        self.signals = signals.Signals(self, ("product", "sum"), self.scheme)

    def take(self, layer):
        """Takes the factors and offsets of a `BatchNormalization`, `Normalization` or `Rescaling`."""
        for weight, values in zip((self.factor, self.offset), _affine(layer), strict=True):
            values = np.asarray(values, np.float32)
            if values.ndim and values.size not in (1, values.shape[-1]):
                raise ValueError(
                    f"layer {layer.name!r} ({type(layer).__name__}): factors that differ along another axis than the "
                    "last have no integer form in training. Normalize along the last axis."
                )
            if values.size not in (1, weight.shape[0]):
                raise ValueError(
                    f"layer {layer.name!r} ({type(layer).__name__}): it must have one factor, or one for each of the "
                    f"{weight.shape[0]} channels. Received: an array of the shape {values.shape}."
                )
            weight.assign(np.broadcast_to(values.reshape(-1), weight.shape))

    def call(self, inputs, training=None, mask=None):
        factor, offset = ops.convert_to_tensor(self.factor), ops.convert_to_tensor(self.offset)
        if signals.is_calibrating():
            product = inputs * factor
            made = product + offset
            self.signals.widen({"product": ops.convert_to_numpy(product), "sum": ops.convert_to_numpy(made)})
            return made
        x, p, y = signals.format_of(inputs, self), self.signals.format("product"), self.signals.format("sum")
        dtype = self.signals.scheme.dtype
        # The converter removes a product with ones and a sum with zeros, and with them the places of their formats.
        factor = ops.where(ops.all(factor == 1), factor * _ABOVE_ONE, factor)
        offset = ops.where(ops.all(offset == 0), offset + LEAST_SCALE, offset)
        signals.note(self, {"product": p, "sum": y}, {"factor": (factor, factor), "offset": (offset, offset)})
        (a, a_format), (b, b_format) = self._stored(factor), self._stored(offset)
        whole = integer.mul(signals.integers_of(inputs, x), a, x, a_format, p, dtype=dtype)
        product = inputs * signals.straight_through(factor, integer.dequantize(a, a_format))
        addition = integer.Addition.of(p, b_format, y, dtype)
        total = addition.total(addition.term(whole, 0), addition.term(b, 1))
        made = product + offset
        if training:
            self.signals.average(signals.ends(product, made))
        product = signals.rounded(product, whole, p, dtype)
        return signals.rounded(product + offset, total, y, dtype)

    def plain(self, inputs, note, mark, **_):
        """Returns what the file computes as float operators, whose results `mark` gives their formats."""
        product = mark(inputs * note.constants["factor"][0], note.formats["product"])
        return mark(product + note.constants["offset"][0], note.formats["sum"])

    def _stored(self, values):
        """Returns the integers of a constant operand and their format, that of its own range."""
        values = ops.cast(ops.stop_gradient(values), "float64")
        scheme = self.signals.scheme
        held = scheme.format(ops.min(values), ops.max(values))
        integers = ops.cast(ops.round(values / held.scale), "int64") + held.zero_point
        return ops.clip(integers, *limits(scheme.dtype)), held

    def compute_output_shape(self, input_shape):
        return input_shape


def scaling(layer, scheme):
    """Returns the form of a `BatchNormalization`, `Normalization` or `Rescaling`."""
    normalizes = isinstance(layer, keras.layers.BatchNormalization)
    if normalizes and layer.axis not in (-1, len(input_shape(layer)) - 1):
        raise ValueError(
            f"layer {layer.name!r} ({type(layer).__name__}): axis={layer.axis} has no integer form in training. Use "
            "axis=-1."
        )
    return QuantizedScaling(scheme=scheme, name=layer.name, trainable=layer.trainable and normalizes)


def _affine(layer):
    if isinstance(layer, keras.layers.BatchNormalization):
        return affine(layer)
    if isinstance(layer, keras.layers.Rescaling):
        return layer.scale, layer.offset
    mean, variance = (ops.convert_to_numpy(each) for each in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    return (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
