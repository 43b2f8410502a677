"""A stack of vanilla RNNs with the integers of the exported file."""

import keras

from keras_vrnn.compression.quantized.signals import Quantized
from keras_vrnn.layers import StackedVanillaRNN


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedStackedVanillaRNN(Quantized, StackedVanillaRNN):
    """A `StackedVanillaRNN` of quantized layers; made by `kv.compression.quantize_aware`.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for `StackedVanillaRNN`.
    """

    def __init__(self, *args, scheme, **kwargs):
        self.scheme = scheme  # `_layer` and `_dropout` read it
        super().__init__(*args, scheme=scheme, **kwargs)

    def _layer(self, k):
        return self._quantized(super()._layer(k))

    def _dropout(self, k):
        return self._quantized(super()._dropout(k))

    def _quantized(self, layer):
        from keras_vrnn.compression.quantized.forms import quantized  # which imports this module

        return quantized(layer, self.scheme)
