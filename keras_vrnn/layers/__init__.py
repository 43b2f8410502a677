"""Layers: the cell, the layer, both directions, stacks, and initializers of the recurrent kernel."""

from keras_vrnn._registration import registering

with registering():
    from keras_vrnn.layers.backends import BackendInfo, backend_info
    from keras_vrnn.layers.bidirectional import Bidirectional
    from keras_vrnn.layers.cell import VanillaRNNCell
    from keras_vrnn.layers.fast_cell import FastRNNCell
    from keras_vrnn.layers.fast_rnn import FastRNN
    from keras_vrnn.layers.initializers import ScaledIdentity, SpectralRadius
    from keras_vrnn.layers.stack import StackedVanillaRNN
    from keras_vrnn.layers.vanilla_rnn import VanillaRNN

__all__ = [
    "BackendInfo",
    "Bidirectional",
    "FastRNN",
    "FastRNNCell",
    "ScaledIdentity",
    "SpectralRadius",
    "StackedVanillaRNN",
    "VanillaRNN",
    "VanillaRNNCell",
    "backend_info",
]


def __dir__() -> list[str]:
    return __all__
