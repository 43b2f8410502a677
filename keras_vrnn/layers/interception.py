"""Finds the layers of a model, and replaces their recurrences while a block of code runs.

Every RNN layer of Keras and of this package runs its recurrence in one method, `inner_loop`. Replacing that method
works inside wrappers and nested models too, and leaves masks, direction, states and merging to the layers.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from keras_vrnn import _keras_private


def layers_of(model: Any) -> list[Any]:
    """All layers of a model, including layers inside nested models and wrappers."""
    return _keras_private.flatten_layers(model)


def recurrent_layers(model: Any) -> list[Any]:
    """The RNN layers of a model, including layers inside nested models and wrappers."""
    return [layer for layer in layers_of(model) if isinstance(layer, keras.layers.RNN)]


def vanilla_layers(model: Any) -> list[Any]:
    """The RNN layers with a vanilla recurrence, from this package or from Keras."""
    return [layer for layer in recurrent_layers(model) if isinstance(layer.cell, keras.layers.SimpleRNNCell)]


@contextlib.contextmanager
def replaced(layer: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute or a method of one layer while the block runs."""
    own = vars(layer).get(name, _ABSENT)
    # object.__setattr__ bypasses Keras' attribute tracking.
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
def recurrences_replaced(layers: Iterable[Any], replacement: Callable[..., Any]) -> Iterator[None]:
    """Replaces the recurrences of some layers while the block runs.

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
