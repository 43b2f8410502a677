"""Finds the layers of a model, and replaces their recurrences while a block of code runs.

Every RNN layer of Keras and of this package runs its recurrence in one method, `inner_loop`. Replacing that method
works inside wrappers and nested models too, and leaves masks, direction, states and merging to the layers.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types
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
    """Replaces an attribute or a method of one layer while the block runs; a method, in this thread only."""
    current = getattr(layer, name)
    if isinstance(current, (types.MethodType, types.FunctionType, _StandIns)):
        with _method_replaced(layer, name, value):
            yield
        return
    own = vars(layer).get(name, _ABSENT)
    _set(layer, name, value)
    try:
        yield
    finally:
        _set(layer, name, own)


@contextlib.contextmanager
def _method_replaced(layer, name, value):
    with _LOCK:
        stand_ins = vars(layer).get(name)
        if not isinstance(stand_ins, _StandIns):
            stand_ins = _StandIns(getattr(layer, name), vars(layer).get(name, _ABSENT))
            _set(layer, name, stand_ins)
        stand_ins.push(value)
    try:
        yield
    finally:
        with _LOCK:
            stand_ins.pop()
            if stand_ins.is_empty:
                _set(layer, name, stand_ins.own)


class _StandIns:
    """A method of a layer that other code replaces in some threads; the others get the method itself."""

    def __init__(self, method, own):
        self.own = own  # the attribute of the layer itself, not of its class
        self._method, self._stacks = method, {}

    def __call__(self, *args, **kwargs):
        stack = self._stacks.get(threading.get_ident())
        if not stack:
            return self._method(*args, **kwargs)
        value = stack.pop()  # a stand-in that calls the method gets the one that it stands in for
        try:
            return value(*args, **kwargs)
        finally:
            stack.append(value)

    def push(self, value):
        self._stacks.setdefault(threading.get_ident(), []).append(value)

    def pop(self):
        stack = self._stacks[threading.get_ident()]
        stack.pop()
        if not stack:
            del self._stacks[threading.get_ident()]

    @property
    def is_empty(self):
        return not self._stacks


_ABSENT = object()
_LOCK = threading.Lock()


def _set(layer, name, value):
    # object.__setattr__ bypasses Keras' attribute tracking.
    if value is _ABSENT:
        object.__delattr__(layer, name)
    else:
        object.__setattr__(layer, name, value)


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
