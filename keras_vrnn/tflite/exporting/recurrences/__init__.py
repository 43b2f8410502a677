"""The recurrent cells that can be exported, one per file; `base` states what each of them provides.

Needs the TensorFlow backend.
"""

import keras

from keras_vrnn.tflite.exporting.recurrences.vanilla import Vanilla

# Keras cell class, subclasses included -> its class here. `VanillaRNNCell` is a subclass of SimpleRNNCell.
CELLS = {keras.layers.SimpleRNNCell: Vanilla}


def cell_of(layer):
    """Returns the `Cell` of a Keras RNN layer."""
    return next(cell for kind, cell in CELLS.items() if isinstance(layer.cell, kind)).of(layer)
