"""A recurrence run step by step on NumPy arrays, for code that looks at every state."""

import numpy as np


def run(step, state, timesteps, mask=None, reverse=False):
    """Returns all states of s_t = step(t, s_{t-1}) where mask_t, else s_{t-1}.

    Args:
        step: function (t, s_{t-1}) → s_t.
        state: s_0, (batch, units), or a tuple of several.
        timesteps: how many steps.
        mask: (batch, time) bool, False at the steps that leave the state as it is; None for all True.
        reverse: start at the last step.

    Returns:
        (batch, time, units), in the order in which the states are computed, or a tuple of several.
    """
    if not isinstance(state, tuple):
        return run(lambda t, states: (step(t, *states),), (state,), timesteps, mask, reverse)[0]
    history = []
    for t in reversed(range(timesteps)) if reverse else range(timesteps):
        new = step(t, state)
        if mask is not None:
            new = tuple(np.where(mask[:, t, None], *pair) for pair in zip(new, state, strict=True))
        state = new
        history.append(state)
    return tuple(np.stack(states, axis=1) for states in zip(*history, strict=True))
