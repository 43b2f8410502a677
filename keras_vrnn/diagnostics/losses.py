"""The loss that `gradient_flow` differentiates, and what it is by chance (TensorFlow)."""

from typing import Any

import keras
import tensorflow as tf

# Exchanges of targets that the loss by chance is averaged over. Samples are often sorted by class: with a single
# exchange, most sequences could keep the target of their own class.
_EXCHANGES = 7


def loss_of(model: keras.Model, loss: Any) -> Any:
    """(x, y, y_pred) → scalar, of the compiled loss or of `loss`."""
    if loss is None:
        if not model.compiled or model.loss is None:
            raise ValueError(
                f"model {model.name!r} is not compiled with a loss. Compile it, or name the loss: "
                "gradient_flow(model, x, y, loss='mse')."
            )
        return lambda x, y, y_pred: model.compute_loss(x=x, y=y, y_pred=y_pred)
    if len(getattr(model, "outputs", None) or [None]) > 1:
        raise ValueError(
            f"`loss` must be None for a model with several outputs: model {model.name!r} has {len(model.outputs)}. "
            f"Compile it with a loss for each. Received: loss={loss!r}"
        )
    function: Any = keras.losses.get(loss)
    if isinstance(function, keras.losses.Loss):
        return lambda x, y, y_pred: function(y, y_pred)
    return lambda x, y, y_pred: _Mean(function, y_pred.dtype)(y, y_pred)


class _Mean(keras.losses.Loss):
    """The mean of a function over the steps that count."""

    def __init__(self, function, dtype):
        # In float32 the gradient of a float64 model would be rounded on its way.
        super().__init__(name="mean", dtype=keras.backend.result_type(dtype, keras.config.floatx()))
        self._function = function

    def call(self, y_true, y_pred):
        return self._function(y_true, y_pred)


def by_chance(loss, x, y, y_pred):
    """The loss when every sequence has the targets of another one, the mean over several exchanges; NaN for one."""
    count = int(keras.tree.flatten(y)[0].shape[0])
    if count == 1:
        return tf.constant(float("nan"))
    shifts = sorted({1 + (count - 1) * i // _EXCHANGES for i in range(_EXCHANGES)})
    # The targets move, not the outputs: masks belong to the outputs.
    losses = [
        loss(x, keras.tree.map_structure(lambda target, by=shift: tf.roll(target, by, axis=0), y), y_pred)
        for shift in shifts
    ]
    return tf.add_n(losses) / len(losses)


def target_steps(y, outputs) -> int | None:
    """The number of time steps that have a target each; None if the targets are not per step."""
    pairs = list(zip(keras.tree.flatten(y), keras.tree.flatten(outputs), strict=False))
    for target, output in pairs:
        if len(output.shape) < 3 or len(target.shape) < 2 or target.shape[1] != output.shape[1]:
            return None
    return pairs[0][1].shape[1]
