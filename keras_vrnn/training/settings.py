"""What `compile` was told about gradients: checked once, before anything is built."""

import dataclasses
import warnings
import weakref
from typing import Literal

from keras_vrnn import _checks as checks

NONFINITE = ("skip", "raise", "apply")

# Optimizers whose own clipping has been announced as taken over: said once each.
_ANNOUNCED: weakref.WeakSet = weakref.WeakSet()


@dataclasses.dataclass(frozen=True)
class Automatic:
    """Which arguments of `compile` are left to `fit`."""

    steps_per_execution: bool = False
    jit_compile: bool = False


@dataclasses.dataclass(frozen=True)
class GradientSettings:
    """How gradients are clipped, what happens to those that are not finite, and how far back in time they reach.

    Args:
        clipnorm: Largest norm of each variable's gradient, or None.
        global_clipnorm: Largest norm of all gradients together, or None.
        clipvalue: Largest absolute value of a gradient entry, or None. Only taken over from an optimizer.
        nonfinite: "skip", "raise" or "apply".
        truncate_steps: Time steps in a window of truncated BPTT, or None for the whole sequence.
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
    """The optimizer that makes the update: the one inside a LossScaleOptimizer."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def own_clipping(optimizer):
    """The clipping set on the optimizer itself, by name. Zero means none there, as in Keras."""
    optimizer = innermost(optimizer)
    values = {name: getattr(optimizer, name, None) for name in ("clipnorm", "global_clipnorm", "clipvalue")}
    return {name: value for name, value in values.items() if value}


def take_over_clipping(settings, optimizer, announce=True):
    """Returns settings that include the clipping set on the optimizer, which then is ours to do, once.

    Keras clips inside the optimizer, on each replica before the gradients are summed. The optimizer keeps its
    attributes, so that it stays what the user made it; `update.py` silences them while it applies an update.

    Raises:
        ValueError: `compile` and the optimizer ask for different clipping.
    """
    theirs = own_clipping(optimizer)
    if not theirs or theirs == settings.thresholds:
        return settings
    spelled = ", ".join(f"{name}={value}" for name, value in theirs.items())
    if settings.thresholds:
        ours = ", ".join(f"{name}={value}" for name, value in settings.thresholds.items())
        raise ValueError(
            f"`compile` received {ours}, but its optimizer {innermost(optimizer).name!r} was made with {spelled}. "
            "Set clipping in one of the two places."
        )
    if announce and optimizer not in _ANNOUNCED:
        warnings.warn(
            f"{spelled} of optimizer {innermost(optimizer).name!r} is taken over by the model, which clips the "
            "gradient once, after it is unscaled, averaged and summed over replicas. To say the same without this "
            f"notice: compile({spelled if 'clipvalue' not in theirs else 'clipnorm=... or global_clipnorm=...'}).",
            stacklevel=4,
        )
    _ANNOUNCED.add(optimizer)
    return dataclasses.replace(settings, **theirs)


def mark_announced(optimizer):
    """A model that is loaded has said so when it was first compiled."""
    _ANNOUNCED.add(optimizer)
