"""The layers of a model, and other code in place of their recurrences, while a block runs.

Every RNN layer of Keras and of this package does its recurrence in one method, `inner_loop`. What stands in for that
method reaches layers inside wrappers and nested models, and leaves masks, direction, states and merging to them.
"""

import contextlib
import functools

import keras


def layers_of(model):
    """All layers of a model, those inside nested models and wrappers included."""
    return list(model._flatten_layers(include_self=False))


def recurrent_layers(model):
    """The RNN layers of a model, those inside nested models and wrappers included."""
    return [layer for layer in layers_of(model) if isinstance(layer, keras.layers.RNN)]


def vanilla_layers(model):
    """Those of the RNN layers whose recurrence is the vanilla one, ours or Keras'."""
    return [layer for layer in recurrent_layers(model) if isinstance(layer.cell, keras.layers.SimpleRNNCell)]


@contextlib.contextmanager
def replaced(layer, name, value):
    """Gives an attribute or a method of one layer another value."""
    own = vars(layer).get(name, _ABSENT)
    # object.__setattr__: Keras' attribute tracking must not see it.
    object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        if own is _ABSENT:
            object.__delattr__(layer, name)
        else:
            object.__setattr__(layer, name, own)


_ABSENT = object()


@contextlib.contextmanager
def recurrences_replaced(layers, replacement):
    """Lets a function stand in for the recurrences of some layers.

    Args:
        layers: RNN layers.
        replacement: (layer, loop, sequences, initial_state, mask) → (last output, outputs, final states), where
            `loop(sequences, initial_state, mask)` is the layer's own recurrence.
    """

    def stand_in(layer, own):
        def inner_loop(sequences, initial_state, mask, training=False):
            return replacement(
                layer, functools.partial(own, training=training), sequences, initial_state, mask
            )

        return inner_loop

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, "inner_loop", stand_in(layer, layer.inner_loop)))
        yield
