"""What the vanilla recurrences of a running Keras model read and make.

Needs the TensorFlow backend.
"""

from dataclasses import dataclass

import keras
import numpy as np

from keras_vrnn.layers.interception import recurrences_replaced, vanilla_layers


@dataclass
class Call:
    """What one call of a layer's recurrence read and made."""

    layer: keras.layers.Layer
    x: object
    mask: object
    initial_state: object
    sequence: object = None
    final: object = None


def observe(model, x):
    """Runs the model on `x` and returns what every recurrence read and made, in order of call.

    Args:
        model: a Keras model.
        x: list of arrays, one an input, each with the batch axis first.

    Returns:
        A list of calls with NumPy arrays `x` (B,T,F), `mask` (B,T) or None, `initial_state` (B,U),
        `sequence` (B,T,U) or None and `final` (B,U) or None.
    """
    calls = []

    def record(layer, loop, sequences, initial_state, mask):
        last, outputs, states = loop(sequences, initial_state, mask)
        sequence, final = emitted(layer, outputs, states[0])
        arrays = [None if v is None else np.asarray(v) for v in (sequences, mask, initial_state[0])]
        calls.append(Call(layer, *arrays, *(None if v is None else np.asarray(v) for v in (sequence, final))))
        return last, outputs, states

    with recurrences_replaced(vanilla_layers(model), record):
        model(x if len(x) > 1 else x[0], training=False)
    return calls


def emitted(layer, sequence, final):
    """Keeps those of a layer's two possible results that it hands on."""
    needs_final = not layer.return_sequences or layer.return_state
    return (sequence if layer.return_sequences else None), (final if needs_final else None)
