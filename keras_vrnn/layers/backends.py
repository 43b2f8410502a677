"""Which code computes the recurrence of a layer, and why."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from keras_vrnn.layers.interception import recurrent_layers
from keras_vrnn.layers.recurrence import gradient_rule, native_refusal
from keras_vrnn.layers.vanilla_rnn import VanillaRNN


@dataclasses.dataclass(frozen=True)
class BackendInfo:
    """What computes one recurrent layer.

    Args:
        layer: Name of the layer.
        path: "native", the C++ kernel; "hand-written", the operations of Keras' backend with hand-written derivatives;
            "autodiff", the same with the backend's derivatives; "cell", the layer's own step or recurrence; "keras",
            a layer of Keras.
        reason: Why not a faster path; for "native", where it does not serve.
    """

    layer: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.path} ({self.reason})"


_NOT_EVERYWHERE = {
    "tensorflow": "except under XLA or a distribution strategy, for second derivatives, and in programs that may be "
    "saved: those that are traced outside `fit`, `evaluate` and `predict` and without `training=True`",
    "jax": "except for vectorized calls, forward mode, second derivatives, exported programs, and in a mesh",
}


def backend_info(layer: Any) -> list[BackendInfo]:
    """Which code computes each recurrent layer, and why; results agree to float rounding.

    Args:
        layer: A layer or a model.

    Returns:
        One `BackendInfo` per recurrent layer, including layers inside wrappers and nested models.

    Example:
    >>> from keras_vrnn import VanillaRNN, backend_info
    >>> backend_info(VanillaRNN(4, activation="elu", name="rnn"))[0].path
    'hand-written'
    """
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(f"`layer` must be a layer or a model. Received: {layer!r} of type {type(layer)}.")
    found = [layer] if isinstance(layer, keras.layers.RNN) else recurrent_layers(layer)
    return [_info(each) for each in found]


def runs_natively(layer: Any) -> bool:
    """Whether a recurrent layer runs on the native kernel in training without XLA."""
    return _info(layer).path == "native"


def _info(layer):
    if not isinstance(layer, VanillaRNN):
        return BackendInfo(layer.name, "keras", f"{type(layer).__name__} is a layer of Keras")
    changed = [
        name for name in ("recur", "inner_loop") if getattr(type(layer), name) != getattr(VanillaRNN, name)
    ]
    if changed:
        return BackendInfo(layer.name, "cell", f"{type(layer).__name__} has its own `{changed[0]}`")
    rule, refusal = gradient_rule(layer.cell), native_refusal(layer.cell)
    if rule == "cell":
        return BackendInfo(layer.name, rule, f"{type(layer.cell).__name__} has its own `call`")
    if not refusal:
        return BackendInfo(layer.name, "native", _NOT_EVERYWHERE[keras.backend.backend()])
    return BackendInfo(layer.name, rule, refusal)
