"""What a diagnosis says: a kind, the figures that it rests on, and what to do about it."""

import dataclasses
import math

# The gradient counts as gone where its norm is below this part of its norm at the last step. At 1 %, a step has so
# little part in the update that noise between batches outweighs it; it is the figure of the usual plots.
GONE = 0.01

# A horizon shorter than this part of the sequence is "much shorter": three quarters of what the network reads
# hardly move its weights. Stacks that learn well have been seen at a half, so that is no fault yet.
SHORT = 0.25


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One finding.

    Attributes:
        kind: "healthy", "vanishing", "exploding", "clip-bound", or "unknown" where there is too little to judge by.
        reason: the figures behind it.
        remedy: what to try, in the order of trying; empty if there is nothing to do.
    """

    kind: str
    reason: str
    remedy: str = ""

    @property
    def is_healthy(self):
        return self.kind == "healthy"

    @property
    def is_unhealthy(self):
        """Not the opposite of `is_healthy`: "unknown" is neither."""
        return self.kind not in ("healthy", "unknown")

    def __str__(self):
        return f"{self.kind}: {self.reason}." + (f" {self.remedy}" if self.remedy else "")


_VANISHING_VANILLA = (
    "Try recurrent_initializer='orthogonal'; activation='relu' with kv.initializers.ScaledIdentity() and clipping; "
    "a gated cell (keras.layers.LSTM or GRU); or shorter sequences."
)
_VANISHING_GATED = (
    "Try a forget gate that starts open (LSTM: unit_forget_bias=True, or a larger bias), a shorter or subsampled "
    "sequence, or pooling or attention over return_sequences=True."
)


def vanishing_remedy(gated):
    """What to try against a gradient that fades.

    Args:
        gated: whether the recurrence is an LSTM or a GRU already.
    """
    return _VANISHING_GATED if gated else _VANISHING_VANILLA


EXPLODING_REMEDY = (
    "Clip: compile(global_clipnorm=1.0). Then lower the learning rate, or start from a recurrent kernel of smaller "
    "norm (recurrent_initializer='orthogonal', kv.initializers.SpectralRadius(0.95))."
)
CLIP_BOUND_REMEDY = (
    "Lower the learning rate, look at the initialisation (kv.diagnostics.spectrum), or raise the threshold to the "
    "norms that are usual: clipping is meant for the exceptions."
)


def of_flow(decay, horizon, gated, short=SHORT):
    """The verdict on how a gradient goes back through one layer.

    Args:
        decay: (steps,) norm k steps before the last, relative to the last.
        horizon: steps back until `decay` is at 1 %.
        gated: whether the layer is an LSTM or a GRU.
        short: the part of the sequence below which a horizon is too short.
    """
    steps = len(decay)
    if not any(decay):
        return Verdict(
            "vanishing",
            "no gradient reaches any of the steps",
            "Look for units that are dead (ReLU) or saturated between it and the loss, or a loss without it.",
        )
    if not all(map(math.isfinite, decay)):
        return Verdict("exploding", f"the gradient is not finite within {steps} steps", EXPLODING_REMEDY)
    back = max(range(steps), key=lambda k: decay[k])
    if decay[back] >= 1 / GONE:
        return Verdict(
            "exploding", f"the gradient grows {decay[back]:.3g}-fold in {back} steps back", EXPLODING_REMEDY
        )
    if horizon < short * steps:
        reason = f"the gradient falls to 1 % within {horizon} of {steps} steps"
        return Verdict("vanishing", reason, vanishing_remedy(gated))
    if horizon == steps:
        return Verdict("healthy", f"the gradient reaches back over all {steps} steps")
    return Verdict("healthy", f"the gradient reaches {horizon} of {steps} steps back")
