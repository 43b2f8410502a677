"""The recurrent cells that can be exported, one per file; `base` states what each of them must give.

Needs the TensorFlow backend.
"""

import keras

from keras_vrnn.tflite.exporting.recurrences.vanilla import Vanilla

# Keras cell class, subclasses included -> the file's class. `VanillaRNNCell` is a SimpleRNNCell.
CELLS = {keras.layers.SimpleRNNCell: Vanilla}


def cell_of(layer):
    """Returns the `Cell` of a Keras RNN layer."""
    return next(cell for kind, cell in CELLS.items() if isinstance(layer.cell, kind)).of(layer)
