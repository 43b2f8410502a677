"""Stateful layers of a model that is asked from zero states, and keeps its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of


def is_stateful(model: Any) -> bool:
    """Whether a layer of the model keeps its states from batch to batch."""
    return any(getattr(layer, "stateful", False) for layer in layers_of(model))


@contextlib.contextmanager
def from_zero(model: Any) -> Iterator[Callable[[], None]]:
    """Sets the states of stateful layers to zero while the block runs; what it yields does so again."""
    states = [
        state
        for layer in layers_of(model)
        if getattr(layer, "stateful", False)
        for state in keras.tree.flatten(getattr(layer, "states", None))
        if state is not None
    ]

    def reset():
        for state in states:
            state.assign(np.zeros(state.shape))

    before = [keras.ops.convert_to_numpy(state) for state in states]
    try:
        reset()
        yield reset
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)
