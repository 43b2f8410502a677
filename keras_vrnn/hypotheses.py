"""What decoding returns, and how hypotheses are ranked: the same in Keras and on a device."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """Decoded sequences, for each source the best first.

    Attributes:
        tokens: int32, (batch, n, steps): the tokens up to and including the end token, then padding (0). The end
            token is missing where `max_length` was reached.
        lengths: int32, (batch, n): number of tokens before the padding, including the end token.
        log_probabilities: float32, (batch, n): Σ log p of the tokens, including the end token. −inf where fewer
            than n different sequences exist.
        scores: float32, (batch, n): log-probability over length penalty, by which they are ordered.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    log_probabilities: np.ndarray
    scores: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """The tokens of the best hypothesis of each source, (batch, steps)."""
        return self.tokens[:, 0]


def length_penalty(lengths: Any, exponent: float) -> Any:
    """((5 + length) / 6)^exponent (Wu et al. 2016, equation 14), by which a log-probability is divided.

    An exponent above 0 favours longer sequences.

    Args:
        lengths: Number of tokens, including the end token: a number, an array or a floating-point tensor.
        exponent: α.
    """
    return ((5.0 + lengths) / 6.0) ** exponent
