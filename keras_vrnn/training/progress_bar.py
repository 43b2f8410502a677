"""The progress bar of `fit`, `evaluate` and `predict`: Keras', in lines that a screen has room for."""

import keras

_WIDTH = 119
_HEAD = len(" ━━━━━━━━━━━━━━━━━━━━ 100s 100ms/step")  # behind the two numbers of batches
_NUMBER = len(" - : 1.0000e-00")
# The statistics of gradients that are worth a place; all of them are in the logs of `History` and other callbacks.
_SHOWN = ("skipped_steps", "grad_norm", "clip_fraction")
_HIDDEN = ("grad_norm_max", "clipped_grad_norm", *_SHOWN)


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, which shows those statistics of gradients that say something and fit into the line.

    It never counts more batches than there are, where the last call has fewer than the others.
    """

    def __init__(self, validates: bool = False):
        """
        Args:
            validates: Whether metrics of validation follow at the end of an epoch.
        """
        super().__init__()
        self._times_shown = 2 if validates else 1

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(self._counted(batch), self._shortened(logs))

    def on_test_batch_end(self, batch, logs=None):
        super().on_test_batch_end(self._counted(batch), logs)

    def on_predict_batch_end(self, batch, logs=None):
        super().on_predict_batch_end(self._counted(batch), logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, self._shortened(logs))

    def _counted(self, batch):
        return batch if self.target is None else min(batch, self.target - 1)

    def _shortened(self, logs):
        logs = dict(logs or {})
        shown = {name: value for name, value in logs.items() if name not in _HIDDEN}
        length = 1 + 2 * len(str(self.target)) + _HEAD
        for name in shown:
            if not name.startswith("val_"):
                length += self._times_shown * (len(name) + _NUMBER) + (self._times_shown - 1) * len("val_")
        for name in filter(logs.get, _SHOWN):
            if length + len(name) + _NUMBER <= _WIDTH:
                shown[name] = logs[name]
                length += len(name) + _NUMBER
        return {name: logs[name] for name in logs if name in shown}


def with_progress_bar(arguments):
    """The callbacks of `fit`, `evaluate` or `predict`, whose `arguments` are given by name, as Keras takes them."""
    callbacks = arguments["callbacks"]
    if isinstance(callbacks, keras.callbacks.CallbackList) or arguments["verbose"] == 0:
        return callbacks
    callbacks = keras.tree.flatten(callbacks or [])
    if any(isinstance(callback, keras.callbacks.ProgbarLogger) for callback in callbacks):
        return callbacks
    validates = bool(arguments.get("validation_split")) or arguments.get("validation_data") is not None
    return [*callbacks, ProgressBar(validates)]
