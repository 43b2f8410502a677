"""A recurrence run step by step on NumPy arrays, for code that looks at every state."""

import numpy as np


def run(step, state, timesteps, mask=None, reverse=False):
    """Returns all states of h_t = step(t, h_{t-1}) where mask_t, else h_{t-1}.

    Args:
        step: function (t, h_{t-1}) → h_t.
        state: h_0, (batch, units).
        timesteps: how many steps.
        mask: (batch, time) bool, False at the steps that leave the state as it is; None for all True.
        reverse: start at the last step.

    Returns:
        (batch, time, units), in the order in which the states are computed.
    """
    states = []
    for t in reversed(range(timesteps)) if reverse else range(timesteps):
        new = step(t, state)
        state = new if mask is None else np.where(mask[:, t, None], new, state)
        states.append(state)
    return np.stack(states, axis=1)
