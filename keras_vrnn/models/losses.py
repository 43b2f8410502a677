"""Loss and accuracy over the real tokens of padded sequences."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vrnn import _checks as checks
from keras_vrnn._types import Tensor
from keras_vrnn.symbols import PADDING


def _real(y_true):
    return ops.not_equal(ops.cast(y_true, "int32"), PADDING)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class TokenCrossentropy(keras.losses.Loss):
    """Mean cross-entropy per real token of a batch.

        L = −Σ log p(y_t) / number of real tokens

    Padding (0) in y is left out, whatever the masks of the model.

    Args:
        label_smoothing: ε in (1−ε)·(−log p(y_t)) + ε·(mean of −log p over all tokens) (Szegedy et al. 2016, section 7).

    Call arguments:
        y_true: Token ids, shape (batch, steps).
        y_pred: Logits, shape (batch, steps, vocabulary).
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "token_crossentropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        meaning = "the share of all tokens in the target"
        self.label_smoothing = checks.fraction("label_smoothing", label_smoothing, meaning, below_one=True)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Any:
        # Keras' own mean divides by the number of steps that the model's mask leaves, if there is one: the loss would
        # depend on how the model masks.
        losses = self.call(y_true, y_pred)
        real = ops.cast(_real(y_true), losses.dtype)
        count = ops.maximum(ops.sum(real), 1)
        if sample_weight is not None:
            losses = losses * ops.reshape(ops.cast(sample_weight, losses.dtype), (-1, 1))
        return ops.sum(losses * real) / count

    def call(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """The loss of each token, including padding, shape (batch, steps)."""
        log_p = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        chosen = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=log_p.dtype)
        losses = -ops.sum(chosen * log_p, axis=-1)
        return (1 - self.label_smoothing) * losses - self.label_smoothing * ops.mean(log_p, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="keras_vrnn")
class TokenAccuracy(keras.metrics.Mean):
    """Share of real tokens that have the largest logit."""

    def __init__(self, name: str = "token_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        right = ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1))
        # One weight per sequence; padding has weight 0.
        weight = ops.cast(_real(y_true), "float32")
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        super().update_state(ops.cast(right, "float32"), weight)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class SequenceAccuracy(keras.metrics.Mean):
    """Share of sequences in which every real token has the largest logit.

    With teacher forcing this equals the share that greedy decoding gets right to the last token: as long as all
    tokens are right, both read the same input.
    """

    def __init__(self, name: str = "sequence_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        right = ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1))
        whole = ops.all(ops.logical_or(right, ops.logical_not(_real(y_true))), axis=-1)
        super().update_state(ops.cast(whole, "float32"), sample_weight)
