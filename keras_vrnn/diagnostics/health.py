"""Judges the gradient norms of a training: healthy, vanishing, exploding, ruled by clipping, or broken."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_vrnn.diagnostics import broken, remedies
from keras_vrnn.diagnostics.flow import GradientFlow
from keras_vrnn.diagnostics.verdict import GONE, Verdict

# A loss falls if it is below its lowest value so far by this share: less is noise between epochs.
_FALLS = 0.01
# A training has converged if the loss is below this share of its first value.
_CONVERGED = 0.1


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Thresholds of the rules; `GradientHealth` explains each."""

    min_steps: int
    clipped_share: float
    clipped_ratio: float
    near_zero: float
    growth: float
    nonfinite_share: float
    horizon_share: float


@dataclasses.dataclass(frozen=True)
class Training:
    """What has been seen of a training.

    Attributes:
        norms: (steps,) global norms before clipping, of the latest steps.
        clipped_norms: (steps,) the same after clipping.
        clipping: the clipping argument in use and its threshold, such as ("global_clipnorm", 1.0), or None.
        nonfinite: what the model does about gradients that are not finite: "skip", "raise" or "apply".
        losses: the loss of each epoch so far, oldest first.
        best_norm: the median norm of the epoch with the lowest loss so far, without the latest epoch; or None.
        broken: paths of weights that hold inf or NaN.
        flow: the `GradientFlow` of a sample, or None.
        is_learning: whether the loss on the sample, relative to chance, fell in the latest epoch.
        traits: of the first recurrence of the model; of "other" kind if there is none.
    """

    norms: np.ndarray
    clipped_norms: np.ndarray
    clipping: tuple[str, float] | None = None
    nonfinite: str = "skip"
    losses: Sequence[float] = ()
    best_norm: float | None = None
    broken: tuple[str, ...] = ()
    flow: GradientFlow | None = None
    is_learning: bool = False
    traits: remedies.Traits | None = None


def judge(training: Training, thresholds: Thresholds) -> Verdict:
    """The first rule that holds, the gravest first."""
    if training.broken:
        return broken.verdict(training.broken)
    count = len(training.norms)
    if count < thresholds.min_steps:
        return Verdict("unknown", f"{count} steps recorded, {thresholds.min_steps} needed")
    flow = None if training.flow is None else training.flow.judge(thresholds.horizon_share)
    if flow is not None and flow.kind == "broken":
        return flow
    finite = np.isfinite(training.norms)
    if 1 - finite.mean() >= thresholds.nonfinite_share:
        return _not_finite(training, flow, thresholds)
    norms = training.norms[finite]
    if _grows(training, norms, thresholds):
        reason = (
            f"the norm has grown to a median of {_latest(norms):.3g}, from {training.best_norm:.3g} "
            "when the loss was lowest"
        )
        return Verdict("exploding", reason, _exploding(training))
    if flow is not None and flow.kind == "exploding":
        return flow
    if _is_near_zero(training, norms, thresholds):
        reason = f"the norm is near zero, {np.median(norms):.2g} in the median of {count} steps, and the loss is not"
        return Verdict("vanishing", reason, _vanishing(training))
    if flow is not None and flow.kind == "vanishing" and not training.is_learning:
        return flow
    clipped, ratio = _clipped(training, finite)
    if _is_clip_bound(training, clipped, ratio, thresholds):
        name, threshold = training.clipping
        reason = (
            f"{name}={threshold:g} shrinks {clipped:.0%} of {count} steps, in the median {ratio:.3g}-fold, and the "
            "loss does not fall"
        )
        return Verdict("clip-bound", reason, remedies.clip_bound(name, float(np.median(norms))))
    reason = f"a median norm of {np.median(norms):.3g} over {count} steps, {clipped:.0%} clipped"
    if flow is None:
        return Verdict("healthy", reason)
    while_learning = ", while the loss falls" if flow.kind == "vanishing" else ""
    return Verdict("healthy", f"{reason}; {flow.reason}{while_learning}")


def _not_finite(training, flow, thresholds):
    """Exploding if there is a sign of growth; else the data or the loss are the likely cause."""
    norms = training.norms
    finite = np.isfinite(norms)
    reason = f"the gradient was not finite in {1 - finite.mean():.0%} of {len(norms)} steps"
    first = int(np.argmin(finite))
    before, after = norms[:first], finite[first:]
    # inf is an overflow. NaN that stays once it has come is a state that has left the range of numbers. NaN in the data
    # comes and goes with its batches.
    overflows = bool(np.isinf(norms).any())
    stays = first > 0 and not after.any()
    grows = first > 0 and bool(before.max() >= thresholds.growth * np.median(before))
    if overflows or stays or grows or (flow is not None and flow.kind == "exploding"):
        return Verdict("exploding", reason, _exploding(training))
    return Verdict(
        "broken", f"{reason}, and the others did not grow", remedies.not_finite(training.nonfinite)
    )


def _latest(norms):
    return float(np.median(norms[-max(1, len(norms) // 4) :]))


def _grows(training, norms, thresholds):
    """Whether the norm is far above what it was at the lowest loss, and the loss has risen since.

    A norm may well grow while a network leaves a plateau: the loss falls then. At the end of a training, norms near
    zero vary by factors: the loss stays near its lowest value then.
    """
    losses = training.losses
    if training.best_norm is None or len(losses) < 2 or _has_converged(losses):
        return False
    now = _latest(norms)
    has_risen = not losses[-1] <= min(losses[:-1])
    return has_risen and now >= thresholds.growth * training.best_norm and now > thresholds.near_zero


def _is_near_zero(training, norms, thresholds):
    """Whether there is next to no gradient although there is a loss."""
    median = float(np.median(norms))
    if median > thresholds.near_zero or _has_converged(training.losses) or _has_learned(training):
        return False
    # A training that starts from a converged model has a small gradient because it has a small loss.
    return not training.losses or median <= GONE * abs(training.losses[-1])


def _is_clip_bound(training, clipped, ratio, thresholds):
    losses = training.losses
    if len(losses) < 2 or _has_converged(losses) or _has_learned(training):
        return False
    lowest = min(losses[:-1])
    falls = losses[-1] < lowest - _FALLS * abs(lowest)
    return clipped > thresholds.clipped_share and ratio >= thresholds.clipped_ratio and not falls


def _has_converged(losses):
    return len(losses) > 1 and 0 <= losses[-1] < _CONVERGED * losses[0]


def _has_learned(training):
    return training.flow is not None and training.flow.has_learned


def _clipped(training, finite):
    """The share of steps that clipping shrinks, and the median factor by which it does."""
    norms, clipped_norms = training.norms[finite], training.clipped_norms[finite]
    # A skipped step has a norm of 0 after clipping; a norm of 0 is not clipped.
    applied = clipped_norms > 0
    if training.clipping is None or not applied.any():
        return 0.0, 1.0
    # float32: a norm that the threshold leaves as it is may differ in its last digits.
    ratios = norms[applied] / clipped_norms[applied]
    return float((ratios > 1 + 1e-5).mean()), float(np.median(ratios))


def _exploding(training):
    return remedies.exploding(training.traits or remedies.Traits(clips=training.clipping is not None))


def _vanishing(training):
    look = "Look for dead (ReLU) or saturated units."
    return look if training.traits is None else f"{look} {remedies.vanishing(training.traits)}"
