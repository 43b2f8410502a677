"""The settings of `compile` for gradients, checked once before anything is built."""

import dataclasses
import warnings
import weakref
from typing import Literal

from keras_vrnn import _checks as checks

NONFINITE = ("skip", "raise", "apply")

# Optimizers whose clipping the model has taken over with a notice, which comes once per optimizer.
_ANNOUNCED: weakref.WeakSet = weakref.WeakSet()


@dataclasses.dataclass(frozen=True)
class Automatic:
    """Which arguments of `compile` are left to `fit`."""

    steps_per_execution: bool = False
    jit_compile: bool = False


@dataclasses.dataclass(frozen=True)
class GradientSettings:
    """How gradients are clipped, what happens if they are not finite, and how far back in time they reach.

    Args:
        clipnorm: Largest norm of each variable's gradient, or None.
        global_clipnorm: Largest norm of all gradients together, or None.
        clipvalue: Largest absolute value of a gradient entry, or None. Comes from an optimizer only.
        nonfinite: "skip", "raise" or "apply".
        truncate_steps: Time steps per window of truncated BPTT, or None for the whole sequence.
    """

    clipnorm: float | None = None
    global_clipnorm: float | None = None
    clipvalue: float | None = None
    nonfinite: Literal["skip", "raise", "apply"] = "skip"
    truncate_steps: int | None = None

    def __post_init__(self):
        for name, threshold in self.thresholds.items():
            checks.number(name, threshold, above=0)
        if len(self.thresholds) > 1:
            received = ", ".join(f"{name}={value}" for name, value in self.thresholds.items())
            raise ValueError(
                f"Only one way of clipping may be set. Received: {received}. Leave the others at None."
            )
        if self.nonfinite not in NONFINITE:
            raise ValueError(
                f"`nonfinite` must be one of {', '.join(map(repr, NONFINITE))}. 'skip' leaves out the update and "
                "counts it, 'raise' stops and names the variables, 'apply' updates with whatever the gradient is. "
                f"Received: nonfinite={self.nonfinite!r}"
            )
        if self.truncate_steps is not None:
            checks.positive_int("truncate_steps", self.truncate_steps)

    @property
    def thresholds(self):
        """The clipping arguments that are set, by name."""
        values = {name: getattr(self, name) for name in ("clipnorm", "global_clipnorm", "clipvalue")}
        return {name: value for name, value in values.items() if value is not None}


def innermost(optimizer):
    """The optimizer that makes the update: the inner one of a LossScaleOptimizer."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def own_clipping(optimizer):
    """The clipping set on the optimizer itself, by name. Zero means none, as in Keras."""
    optimizer = innermost(optimizer)
    values = {name: getattr(optimizer, name, None) for name in ("clipnorm", "global_clipnorm", "clipvalue")}
    return {name: value for name, value in values.items() if value}


def changed_settings(settings, optimizer):
    """The arguments of `compile` that differ from their defaults, by name, without clipping set on the optimizer."""
    return {
        name: getattr(settings, name)
        for name in ("clipnorm", "global_clipnorm", "nonfinite", "truncate_steps")
        if getattr(settings, name) != getattr(GradientSettings, name) and name not in own_clipping(optimizer)
    }


def take_over_clipping(settings, optimizer, announce=True):
    """Returns settings that include the clipping of the optimizer: the model then clips, once.

    Keras clips inside the optimizer, on each replica before the gradients are summed. The optimizer keeps its
    attributes; `update.py` silences them while it applies an update.

    Raises:
        ValueError: `compile` and the optimizer set different clipping.
    """
    theirs = own_clipping(optimizer)
    if not theirs or theirs == settings.thresholds:
        return settings
    spelled = ", ".join(f"{name}={value}" for name, value in theirs.items())
    if settings.thresholds:
        ours = ", ".join(f"{name}={value}" for name, value in settings.thresholds.items())
        raise ValueError(
            "Clipping must be set either in `compile` or in its optimizer. "
            f"Received: compile({ours}) and optimizer {innermost(optimizer).name!r} with {spelled}"
        )
    if announce and optimizer not in _ANNOUNCED:
        warnings.warn(
            f"The model takes over {spelled} of optimizer {innermost(optimizer).name!r}: it clips the gradient once, "
            "after unscaling, averaging and summing it over replicas. For the same without this notice, use "
            f"compile({spelled if 'clipvalue' not in theirs else 'clipnorm=... or global_clipnorm=...'}).",
            stacklevel=4,
        )
    _ANNOUNCED.add(optimizer)
    return dataclasses.replace(settings, **theirs)


def mark_announced(optimizer):
    """Prevents the notice for a loaded model, which gave it when it was first compiled."""
    _ANNOUNCED.add(optimizer)
