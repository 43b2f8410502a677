"""What the gradient norms of a training say: healthy, vanishing, exploding, or ruled by clipping."""

import dataclasses

import numpy as np

from keras_vrnn.diagnostics import verdict as verdicts
from keras_vrnn.diagnostics.verdict import Verdict


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Of the rules; each with its meaning and reason at `GradientHealth`."""

    min_steps: int
    clipped_share: float
    near_zero: float
    growth: float
    nonfinite_share: float
    horizon_share: float


def judge(norms, clipped_norms, settings, losses, thresholds, baseline=None, flow=None, gated=False):
    """The first rule that holds, the gravest first.

    Args:
        norms: (steps,) global norms before clipping, of the latest steps.
        clipped_norms: (steps,) the same after clipping.
        settings: `GradientSettings` of the model.
        losses: the loss of each epoch so far, oldest first.
        thresholds: `Thresholds`.
        baseline: the smallest median norm so far, or None.
        flow: `GradientFlow` of a sample, or None.
        gated: whether the model has gated cells.

    Returns:
        A `Verdict`.
    """
    count = len(norms)
    if count < thresholds.min_steps:
        return Verdict("unknown", f"{count} steps recorded, {thresholds.min_steps} needed")
    finite = np.isfinite(norms)
    share = 1 - finite.mean()
    if share >= thresholds.nonfinite_share:
        reason = f"the gradient was not finite in {share:.0%} of {count} steps"
        return Verdict("exploding", reason, verdicts.EXPLODING_REMEDY)
    median = float(np.median(norms[finite]))
    if _grows(norms[finite], baseline, losses, thresholds):
        reason = f"the norm has grown to a median of {median:.3g} while the loss has not fallen"
        return Verdict("exploding", reason, verdicts.EXPLODING_REMEDY)
    of_flow = None if flow is None else flow.judge(thresholds.horizon_share)
    if of_flow is not None and of_flow.kind == "exploding":
        return of_flow
    if median <= thresholds.near_zero and not _has_converged(losses):
        reason = f"the norm is near zero, {median:.2g} in the median of {count} steps, and the loss not down to a tenth"
        return Verdict("vanishing", reason, verdicts.vanishing_remedy(gated))
    if of_flow is not None and of_flow.kind == "vanishing":
        return of_flow
    clipped = _clipped(norms[finite], clipped_norms[finite], settings)
    if clipped > thresholds.clipped_share:
        ((name, threshold),) = settings.thresholds.items()
        reason = (
            f"{name}={threshold:g} changed {clipped:.0%} of {count} steps, whose median norm is {median:.3g}"
        )
        return Verdict("clip-bound", reason, verdicts.CLIP_BOUND_REMEDY)
    reach = "" if of_flow is None else f"; {of_flow.reason}"
    return Verdict(
        "healthy", f"a median norm of {median:.3g} over {count} steps, {clipped:.0%} clipped{reach}"
    )


def _grows(norms, baseline, losses, thresholds):
    """Whether the norm is far above what it was, and nothing is gained by it.

    A norm may well grow while a network leaves a plateau: the loss falls then.
    """
    quarter = max(1, len(norms) // 4)
    now, before = float(np.median(norms[-quarter:])), float(np.median(norms[:quarter]))
    before = before if baseline is None else min(before, baseline)
    has_fallen = len(losses) > 1 and losses[-1] < min(losses[:-1])
    return now >= thresholds.growth * before and now > thresholds.near_zero and not has_fallen


def _has_converged(losses):
    """A gradient near zero is what a training ends with, if it has got somewhere."""
    return len(losses) > 1 and losses[-1] < 0.1 * losses[0]


def _clipped(norms, clipped_norms, settings):
    """Share of the steps at or above the threshold."""
    if not len(norms) or not settings.thresholds:
        return 0.0
    changed = clipped_norms < norms
    if settings.global_clipnorm is not None:
        changed |= norms >= settings.global_clipnorm
    return float(changed.mean())
