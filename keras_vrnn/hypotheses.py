"""What decoding returns, in Keras and on a device alike."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """Decoded sequences, of each source the best first.

    Attributes:
        tokens: int32, (batch, n, steps): up to and with the end token, then padding (0). Without an end token where
            `max_length` was reached.
        lengths: int32, (batch, n): tokens before the padding, the end token counted.
        log_probabilities: float32, (batch, n): Σ log p of the tokens, the end token's included. −inf where fewer
            than n different sequences exist.
        scores: float32, (batch, n): what they are ordered by, the log-probability over the length penalty.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    log_probabilities: np.ndarray
    scores: np.ndarray

    @property
    def best(self):
        """The tokens of the best hypothesis of each source, (batch, steps)."""
        return self.tokens[:, 0]
