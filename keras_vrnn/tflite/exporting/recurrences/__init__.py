"""The recurrent cells that can be exported; `base` states what the exporter needs of each.

Needs the TensorFlow backend.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_vrnn.layers import FastRNNCell, VanillaRNNCell
from keras_vrnn.layers.interception import recurrent_layers
from keras_vrnn.quantization.cells.fast import Fast
from keras_vrnn.quantization.cells.gru import GRU
from keras_vrnn.quantization.cells.lstm import LSTM
from keras_vrnn.tflite.exporting.recurrences.base import Cell
from keras_vrnn.tflite.exporting.recurrences.gated import Gated
from keras_vrnn.tflite.exporting.recurrences.vanilla import Vanilla

# Keras cell class, subclasses included -> a function that makes the `Cell` of a layer.
# `VanillaRNNCell` is a subclass of SimpleRNNCell, and `FastRNNCell` one of that; the first that fits counts.
CELLS: dict[Any, Callable[..., Cell]] = {
    FastRNNCell: functools.partial(Gated.of, kind=Fast),
    keras.layers.SimpleRNNCell: Vanilla.of,
    keras.layers.GRUCell: functools.partial(Gated.of, kind=GRU),
    keras.layers.LSTMCell: functools.partial(Gated.of, kind=LSTM),
}
# The steps that the cells here compute; a subclass may have another one.
_STEPS = {VanillaRNNCell.call, *(kind.call for kind in CELLS)}


def is_exported(layer):
    """Whether the recurrence of a Keras RNN layer has a cell here."""
    return isinstance(layer.cell, tuple(CELLS))


def exported_layers(model):
    """Returns the RNN layers of a model whose recurrence has a cell here."""
    return [layer for layer in recurrent_layers(model) if is_exported(layer)]


def has_own_step(layer):
    """Whether the cell of an exported layer computes another step than the Keras class that it is a subclass of."""
    return type(layer.cell).call not in _STEPS


def cell_of(layer):
    """Returns the `Cell` of a Keras RNN layer."""
    return next(made for kind, made in CELLS.items() if isinstance(layer.cell, kind))(layer)
