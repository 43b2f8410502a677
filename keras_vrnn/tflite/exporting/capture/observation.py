"""Records what the vanilla recurrences of a running Keras model read and return.

Needs the TensorFlow backend.
"""

from dataclasses import dataclass

import keras
import numpy as np

from keras_vrnn.layers import VanillaRNN
from keras_vrnn.layers.interception import recurrences_replaced, vanilla_layers
from keras_vrnn.models import structure


@dataclass
class Call:
    """What one call of a layer's recurrence read and returned."""

    layer: keras.layers.Layer
    x: object
    mask: object
    initial_state: object
    sequence: object = None
    final: object = None


def observe(model, x):
    """Runs the model on `x` and returns what every recurrence read and returned, in the order of the calls.

    Args:
        model: A Keras model.
        x: A list of arrays, one per input, each with the batch axis first.

    Returns:
        A list of calls with NumPy arrays `x` (B,T,F), `mask` (B,T) or None, `initial_state` (B,U),
        `sequence` (B,T,U) or None, and `final` (B,U) or None.
    """
    calls = []

    def record(layer, loop, sequences, initial_state, mask):
        last, outputs, states = loop(sequences, initial_state, mask)
        sequence, final = emitted(layer, outputs, states[0])
        arrays = [None if v is None else np.asarray(v) for v in (sequences, mask, initial_state[0])]
        calls.append(Call(layer, *arrays, *(None if v is None else np.asarray(v) for v in (sequence, final))))
        return last, outputs, states

    with recurrences_replaced(vanilla_layers(model), record):
        structure.call(model, x)
    return calls


def zeroes_last(layer):
    """Whether the only output of a layer is zero where the last step is masked, as in Keras' RNN, not in VanillaRNN."""
    zeroes = layer.zero_output_for_mask and not layer.return_sequences
    return zeroes and not isinstance(layer, VanillaRNN)


def emitted(layer, sequence, final):
    """Returns the outputs and the final state of a layer, with None for what the layer does not return."""
    needs_final = not layer.return_sequences or layer.return_state
    return (sequence if layer.return_sequences else None), (final if needs_final else None)
