"""The recurrence over a whole sequence."""

import keras


def recur(layer, sequences, state, mask, training):
    """h_t of all steps; see `VanillaRNN.inner_loop`."""
    last, outputs, states = super(keras.layers.SimpleRNN, layer).inner_loop(
        sequences, [state], mask, training
    )
    return last, outputs, states
