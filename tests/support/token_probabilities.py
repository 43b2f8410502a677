"""Probabilities of tokens, from logits."""

import numpy as np


def log_softmax(logits):
    """Returns log p over the last axis, in float64."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
