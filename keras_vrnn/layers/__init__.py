"""The recurrence: cell and layer."""

from keras_vrnn.layers.cell import VanillaRNNCell
from keras_vrnn.layers.layer import VanillaRNN

__all__ = ["VanillaRNN", "VanillaRNNCell"]
