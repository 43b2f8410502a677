"""What to try against each verdict, chosen by what the model is: no advice repeats what it already has."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from keras_vrnn.layers import FastRNNCell

DEAD = "Look for dead (ReLU) or saturated units between it and the loss, or for a loss that does not read it."
BROKEN_WEIGHTS = (
    "Training cannot recover from this: restore weights that were saved before. Then look for inf or NaN in the data, "
    "for the log of 0 or a division by 0 in the loss, and for a learning rate that is too high."
)
BROKEN_DATA = "Remove or replace these values."
BROKEN_LOSS = "Look for the log of 0 or a division by 0 in the loss, and for targets outside its range."

_KINDS = (
    (keras.layers.LSTMCell, "lstm"),
    (keras.layers.GRUCell, "gru"),
    (FastRNNCell, "fast"),  # before its base class
    (keras.layers.SimpleRNNCell, "vanilla"),
)
# Initializers whose argument (`gain`, `radius`) sets the size of the recurrent kernel.
_SIZED = ("Orthogonal", "Identity", "ScaledIdentity", "SpectralRadius")
# A kernel whose largest singular value is above this amplifies some direction; below it is rounding and early training.
_AMPLIFIES = 1.05


@dataclasses.dataclass(frozen=True)
class Traits:
    """What a recurrence is, and which remedies it already has.

    Attributes:
        kind: "vanilla", "fast" (FastRNN), "lstm", "gru", or "other" for a cell with equations of its own.
        activation: name of φ, for a vanilla cell or a FastRNN.
        initializer: class name of the recurrent initializer, or "".
        gain: gain or spectral radius that the initializer was given, 1 by default.
        kernel_norm: largest singular value of the recurrent kernel now, for a vanilla cell; else NaN.
        opens_forget_gate: whether an LSTM's forget gate starts with a bias of 1.
        regularized: whether the recurrent kernel has a regularizer or a constraint.
        clips: whether the model clips gradients.
        per_step: whether the loss has a target for every step of the layer.
    """

    kind: str = "other"
    activation: str = ""
    initializer: str = ""
    gain: float = 1.0
    kernel_norm: float = math.nan
    opens_forget_gate: bool = False
    regularized: bool = False
    clips: bool = False
    per_step: bool = False


def traits_of(cell: Any, clips: bool = False, per_step: bool = False) -> Traits:
    """The `Traits` of a cell, in a model that clips or not, with a target for every step or not."""
    kind = next((kind for cell_class, kind in _KINDS if isinstance(cell, cell_class)), "other")
    initializer = getattr(cell, "recurrent_initializer", None)
    constraints = [getattr(cell, name, None) for name in ("recurrent_regularizer", "recurrent_constraint")]
    return Traits(
        kind=kind,
        activation=getattr(cell.activation, "__name__", "") if kind in ("vanilla", "fast") else "",
        initializer="" if initializer is None else type(initializer).__name__,
        gain=float(getattr(initializer, "gain", getattr(initializer, "radius", 1.0))),
        kernel_norm=_norm(cell.recurrent_kernel) if kind == "vanilla" and cell.built else math.nan,
        opens_forget_gate=bool(getattr(cell, "unit_forget_bias", False)),
        regularized=any(constraint is not None for constraint in constraints),
        clips=clips,
        per_step=per_step,
    )


def clips_gradients(model: keras.Model) -> bool:
    """Whether training clips gradients: in the model, or in its optimizer."""
    settings = getattr(model, "gradient_settings", None)
    if settings is not None and settings.thresholds:
        return True
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return any(getattr(optimizer, name, None) for name in ("clipnorm", "global_clipnorm", "clipvalue"))


def vanishing(traits: Traits) -> str:
    """What to try against a gradient that fades on its way back."""
    return _try([*_longer_memory(traits), *_shorter_ways(traits)])


def exploding(traits: Traits) -> str:
    """What to try against a gradient that grows on its way back."""
    clip = [] if traits.clips else ["clipping (global_clipnorm=1.0)"]
    return _try([*clip, "a lower learning rate", *_smaller_kernel(traits)])


def clip_bound(name: str, median: float) -> str:
    """What to try where clipping with the argument `name` shrinks most steps."""
    return (
        f"Raise {name} towards the usual norm, {median:.3g}; if the loss jumps then, lower the learning rate."
    )


def not_finite(nonfinite: str) -> str:
    """What to look for where gradients are inf or NaN; `nonfinite` is the setting of the model."""
    stop = (
        ""
        if nonfinite == "raise"
        else " compile(nonfinite='raise') stops at the first such step and names its variables."
    )
    return f"Look for inf or NaN in the data, and for the log of 0 or a division by 0 in the loss.{stop}"


def _longer_memory(traits):
    if traits.kind == "lstm":
        return (
            ["a larger bias for the forget gate"]
            if traits.opens_forget_gate
            else ["a forget gate that starts open (unit_forget_bias=True)"]
        )
    if traits.kind == "gru":
        return ["a bias with which the update gate starts near 1"]
    gated = "a gated cell (keras.layers.LSTM or GRU)"
    if traits.kind == "other":
        return [gated]
    if traits.kind == "fast":
        nearer = "a β nearer 1 (beta_initializer=keras.initializers.Constant(5.0))"
        return [*_flatter_activation(traits), nearer, gated]
    return [*_flatter_activation(traits), *_larger_kernel(traits), *_irnn(traits), gated]


def _flatter_activation(traits):
    # Their largest slopes are 1/4 and 1/6: every step back divides the gradient by as much.
    return ["activation='tanh'"] if traits.activation in ("sigmoid", "hard_sigmoid") else []


def _larger_kernel(traits):
    if traits.initializer not in _SIZED:
        return ["recurrent_initializer='orthogonal'"]
    if traits.gain < 1:
        return [f"a larger recurrent kernel ({traits.initializer} has {traits.gain:g} now, 1 keeps norms)"]
    if traits.activation == "tanh" and traits.initializer != "SpectralRadius":
        return ["a recurrent kernel that offsets the slope of tanh (kv.initializers.SpectralRadius(1.2))"]
    return []


def _irnn(traits):
    if traits.initializer in ("Identity", "ScaledIdentity"):
        return [] if traits.activation == "relu" else ["activation='relu' with the identity kernel"]
    clip = "" if traits.clips else " and clipping"
    relu = "" if traits.activation == "relu" else "activation='relu' with "
    return [f"{relu}kv.initializers.ScaledIdentity(){clip}"]


def _shorter_ways(traits):
    # With a target for every step, pooling would mix the targets.
    pooled = [] if traits.per_step else ["pooling or attention over return_sequences=True"]
    return [*pooled, "shorter or subsampled sequences"]


def _smaller_kernel(traits):
    if traits.kind == "fast":  # ‖α·W_h·diag(φ') + β·I‖ grows with both
        return ["a smaller α or β (alpha_initializer, beta_initializer)"]
    if not traits.kernel_norm > _AMPLIFIES:
        return []
    if traits.initializer not in _SIZED:
        return ["recurrent_initializer='orthogonal'"]
    if traits.gain > 1:
        return [f"a smaller recurrent kernel ({traits.initializer} has {traits.gain:g} now, 1 keeps norms)"]
    if traits.regularized:
        return []
    return [f"recurrent_regularizer='l2' (the norm of the recurrent kernel is {traits.kernel_norm:.3g} now)"]


def _try(remedies):
    *first, last = remedies
    return f"Try {'; '.join([*first, f'or {last}']) if first else last}."


def _norm(kernel):
    values = keras.ops.convert_to_numpy(kernel).astype("float64")
    # The singular values of a matrix with NaN cannot be computed.
    return float(np.linalg.norm(values, ord=2)) if np.isfinite(values).all() else math.nan
