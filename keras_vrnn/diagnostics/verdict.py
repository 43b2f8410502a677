"""A verdict on gradients: its kind, the numbers behind it, and what to do about it."""

import dataclasses

from keras_vrnn._shown import Shown

# The gradient counts as gone where its norm is below this share of its norm at the last step that the loss reads. At
# 1 %, a step contributes so little to the update that the noise between batches outweighs it. Plots of vanishing
# gradients usually draw this line.
GONE = 0.01

# A gradient that grows by this factor on its way back explodes: the reciprocal of GONE.
EXPLODED = 100.0

# A horizon shorter than this share of the sequence is too short: three quarters of the input hardly move the weights.
# Stacks that learn well have been seen at one half, so one half is not a fault.
SHORT = 0.25

# A task counts as learned if the loss is at most this share of the loss by chance. For a regression, 0.2 is R² = 0.67,
# since the loss is 1 - R² and chance 1 + R²; for two equally frequent classes it is about 90 % correct. A network that
# predicts only one of two equally large parts of its target is at 0.33.
LEARNED = 0.2


@dataclasses.dataclass(frozen=True, repr=False)
class Verdict(Shown):
    """A finding about gradients.

    Attributes:
        kind: "healthy", "vanishing", "exploding", "clip-bound", "broken" (inf or NaN in the weights, the data or the
            loss), or "unknown" where there is too little to judge by.
        reason: the numbers behind it.
        remedy: what to try, in this order; empty if there is nothing to do.
    """

    kind: str
    reason: str
    remedy: str = ""

    @property
    def is_healthy(self) -> bool:
        return self.kind == "healthy"

    @property
    def is_unhealthy(self) -> bool:
        """Not the opposite of `is_healthy`: "unknown" is neither."""
        return self.kind not in ("healthy", "unknown")

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}." + (f" {self.remedy}" if self.remedy else "")
