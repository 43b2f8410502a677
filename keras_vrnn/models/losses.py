"""Loss and accuracy over the real tokens of padded sequences."""

import keras
from keras import ops

from keras_vrnn.symbols import PADDING


def _real(y_true):
    return ops.not_equal(ops.cast(y_true, "int32"), PADDING)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class TokenCrossentropy(keras.losses.Loss):
    """L = −Σ log p(y_t) / number of real tokens of the batch

    Padding (0) in y counts for nothing, whatever the masks of the model.

    Args:
        label_smoothing: ε in (1−ε)·(−log p(y_t)) + ε·(mean of −log p over all tokens) (Szegedy et al. 2016, section 7).

    Call arguments:
        y_true: Token ids, shape (batch, steps).
        y_pred: Logits, shape (batch, steps, vocabulary).
    """

    def __init__(self, label_smoothing=0.0, name="token_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(
                f"`label_smoothing` must be in [0, 1). Received: label_smoothing={label_smoothing!r}"
            )
        self.label_smoothing = float(label_smoothing)

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Keras' own mean divides by what the model's mask leaves, if there is one: with padding counted here and
        # there, the loss would depend on it.
        losses = self.call(y_true, y_pred)
        real = ops.cast(_real(y_true), losses.dtype)
        count = ops.maximum(ops.sum(real), 1)
        if sample_weight is not None:
            losses = losses * ops.reshape(ops.cast(sample_weight, losses.dtype), (-1, 1))
        return ops.sum(losses * real) / count

    def call(self, y_true, y_pred):
        """The loss of each token, padding included, shape (batch, steps)."""
        log_p = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        chosen = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=log_p.dtype)
        losses = -ops.sum(chosen * log_p, axis=-1)
        return (1 - self.label_smoothing) * losses - self.label_smoothing * ops.mean(log_p, axis=-1)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="keras_vrnn")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the real tokens that have the largest logit."""

    def __init__(self, name="token_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        right = ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1))
        # Sequences may be weighted, and padding counts for nothing.
        weight = ops.cast(_real(y_true), "float32")
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        super().update_state(ops.cast(right, "float32"), weight)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class SequenceAccuracy(keras.metrics.Mean):
    """Share of the sequences of which every real token has the largest logit.

    With teacher forcing this is also the share that greedy decoding gets right to the last token: as long as all
    tokens were right, both read the same.
    """

    def __init__(self, name="sequence_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        right = ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1))
        whole = ops.all(ops.logical_or(right, ops.logical_not(_real(y_true))), axis=-1)
        super().update_state(ops.cast(whole, "float32"), sample_weight)
