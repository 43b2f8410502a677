"""Records what the recurrences of a running Keras model read and return.

Needs the TensorFlow backend.
"""

from dataclasses import dataclass

import keras
import numpy as np

from keras_vrnn.layers import VanillaRNN
from keras_vrnn.layers.interception import recurrences_replaced
from keras_vrnn.models import structure
from keras_vrnn.tflite.exporting.recurrences import exported_layers


@dataclass
class Call:
    """What one call of a layer's recurrence read and returned."""

    layer: keras.layers.Layer
    x: object
    mask: object
    initial_states: tuple
    sequence: object = None
    finals: tuple = ()


def observe(model, x):
    """Runs the model on `x` and returns what every recurrence read and returned, in the order of the calls.

    Args:
        model: A Keras model.
        x: A list of arrays, one per input, each with the batch axis first.

    Returns:
        A list of calls with NumPy arrays `x` (B,T,F), `mask` (B,T) or None, `initial_states` (B,U) each,
        `sequence` (B,T,U) or None, and `finals` (B,U) or None each.
    """
    calls = []

    def record(layer, loop, sequences, initial_state, mask):
        last, outputs, states = loop(sequences, initial_state, mask)
        sequence, finals = emitted(layer, outputs, states)
        starts, ends = (tuple(map(_array, each)) for each in (initial_state, finals))
        calls.append(Call(layer, _array(sequences), _array(mask), starts, _array(sequence), ends))
        return last, outputs, states

    with recurrences_replaced(exported_layers(model), record):
        structure.call(model, x)
    return calls


def _array(value):
    return None if value is None else np.asarray(value)


def zeroes_last(layer):
    """Whether the only output of a layer is zero where the last step is masked, as in Keras' RNN, not in VanillaRNN."""
    zeroes = layer.zero_output_for_mask and not layer.return_sequences
    return zeroes and not isinstance(layer, VanillaRNN)


def emitted(layer, sequence, finals):
    """Returns the outputs and the final states of a layer, with None for what the layer does not return."""
    first, *others = finals
    return (
        sequence if layer.return_sequences else None,
        (
            first if layer.return_state or not layer.return_sequences else None,
            *(other if layer.return_state else None for other in others),
        ),
    )
