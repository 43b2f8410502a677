"""Looks into a running Keras model: what its vanilla recurrences read and make, or other code in their place.

Every vanilla RNN layer does its recurrence in one method, `inner_loop`. Standing in for that method reaches
layers inside wrappers and nested models, and leaves masks, states and merging to Keras.

Needs the TensorFlow backend.
"""

import contextlib
from dataclasses import dataclass

import keras
import numpy as np


@dataclass
class Call:
    """What one call of a layer's recurrence read and made."""

    layer: keras.layers.Layer
    x: object
    mask: object
    initial_state: object
    sequence: object = None
    final: object = None


def is_vanilla_rnn(layer):
    """Tells whether a layer is a vanilla RNN over a sequence, ours or Keras'."""
    return isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, keras.layers.SimpleRNNCell)


def layers_of(model):
    """Yields every layer of a model, those inside nested models and wrappers included."""
    return (layer for layer in model._flatten_layers(include_self=False))


@contextlib.contextmanager
def substituted(layers, method, substitute):
    """Lets `substitute(layer, original)` stand in for a method of each of the layers."""
    layers = list(layers)
    # object.__setattr__: the substitution is ours alone, Keras' attribute tracking must not see it.
    for layer in layers:
        object.__setattr__(layer, method, substitute(layer, getattr(layer, method)))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, method)


def recurrences_replaced(model, replacement):
    """Lets `replacement(layer, original, ...)` stand in for the recurrence of every vanilla RNN layer."""

    def substitute(layer, original):
        def inner_loop(sequences, initial_state, mask, training=False):
            return replacement(layer, original, sequences, initial_state, mask)

        return inner_loop

    return substituted(filter(is_vanilla_rnn, layers_of(model)), "inner_loop", substitute)


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

    def record(layer, original, sequences, initial_state, mask):
        last, outputs, states = original(sequences, initial_state, mask)
        sequence, final = emitted(layer, outputs, states[0])
        arrays = [None if v is None else np.asarray(v) for v in (sequences, mask, initial_state[0])]
        calls.append(Call(layer, *arrays, *(None if v is None else np.asarray(v) for v in (sequence, final))))
        return last, outputs, states

    with recurrences_replaced(model, record):
        model(x if len(x) > 1 else x[0], training=False)
    return calls


def emitted(layer, sequence, final):
    """Keeps those of a layer's two possible results that it hands on."""
    needs_final = not layer.return_sequences or layer.return_state
    return (sequence if layer.return_sequences else None), (final if needs_final else None)
