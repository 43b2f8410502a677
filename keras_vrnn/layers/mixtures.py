"""How a step makes h_t of the candidate c_t = φ(x_t·W_x + h_{t-1}·W_h + b) and of h_{t-1}.

    Replacement     h_t = c_t                       the vanilla RNN
    Leak            h_t = α·c_t + β·h_{t-1}         FastRNN, with scalars α and β, the rates

`Block` computes c_t and everything that belongs to it. A mixture is linear in (c_t, h_{t-1}), so that it also maps
their tangents to the tangent of h_t.
"""

import dataclasses
from typing import Any

from keras import ops


@dataclasses.dataclass(frozen=True)
class Replacement:
    """h_t = c_t. h alone is kept, because it contains the candidates."""

    def __call__(self, candidate, h):
        """h_t of c_t and h_{t-1}."""
        return candidate

    def kept(self, h, candidate):
        """What the derivatives need of a step: h_{t-1}, or a tuple that begins with it."""
        return h

    def seen(self, h, inputs):
        """(h_{t-1}, c_t, other inputs) of a step of the reverse loop that carries h_t and reads what is kept."""
        h_before, *others = inputs
        return h_before, h, others

    def candidates(self, hidden, kept):
        """c_t of all steps, of h_t and what is kept of all steps."""
        return hidden

    def to_candidate(self, dh):
        """∂L/∂c_t of ∂L/∂h_t."""
        return dh

    def to_state(self, dh, mask):
        """∂L/∂h_{t-1} of ∂L/∂h_t along the path beside φ, or None where there is none; a masked step is h_{t-1}."""
        return None if mask is None else ops.where(mask, ops.zeros_like(dh), dh)

    def to_rates(self, dh, h_before, candidate):
        """∂L/∂rate of each rate, elementwise, before the sum over batch and units."""
        return ()

    def from_rates(self, d_rates, kept):
        """The tangent of h_t due to the rates, of all steps, in a tuple; empty without rates."""
        return ()


@dataclasses.dataclass(frozen=True)
class Leak(Replacement):
    """h_t = α·c_t + β·h_{t-1}. c_t is kept too: (h_t - β·h_{t-1})/α loses digits where α is small.

    Args:
        alpha, beta: Scalar tensors.
    """

    alpha: Any
    beta: Any

    def __call__(self, candidate, h):
        return self.alpha * candidate + self.beta * h

    def kept(self, h, candidate):
        return h, candidate

    def seen(self, h, inputs):
        h_before, candidate, *others = inputs
        return h_before, candidate, others

    def candidates(self, hidden, kept):
        return kept[1]

    def to_candidate(self, dh):
        return self.alpha * dh

    def to_state(self, dh, mask):
        leaked = self.beta * dh
        return leaked if mask is None else ops.where(mask, leaked, dh)

    def to_rates(self, dh, h_before, candidate):
        return dh * candidate, dh * h_before

    def from_rates(self, d_rates, kept):
        h_before, candidate = kept
        return (d_rates[0] * candidate + d_rates[1] * h_before,)
