"""Gradient norms in the logs of training, but not of evaluation."""

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import keras

_Mixin: Any = keras.Model if TYPE_CHECKING else object

# The entry of the logs of `train_step` that the train function replaces by the values in it.
PACKED = "gradients"


class GradientLogs(_Mixin):
    """Mixin before `keras.Model` that puts gradient norms into the logs of `fit` and `train_on_batch`."""

    train_function: Any
    gradient_settings: Any
    _evaluating = False

    @property
    def gradient_recorder(self):
        """The `GradientRecorder` that keeps the norms of every step."""
        if not hasattr(self, "_gradient_recorder"):
            from keras_vrnn.training.recorder import GradientRecorder

            self._gradient_recorder = GradientRecorder()
        return self._gradient_recorder

    def make_train_function(self, force: bool = False) -> None:
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=force)
        self.gradient_recorder.expect_new_function()
        execute = self.train_function
        self.train_function = lambda iterator: self._recorded(lambda: execute(iterator))

    def _recorded(self, execute, updates=None):
        """Calls a function that makes updates; returns its logs with gradient norms.

        Args:
            execute: Function that returns logs of `train_step`.
            updates: The number of updates it makes, or None for the number per execution.
        """
        recorder = self.gradient_recorder
        recorder.make_room(updates)
        logs = execute()
        if self.gradient_settings.nonfinite == "raise":
            recorder.raise_if_halted()
        if not isinstance(logs, dict) or PACKED not in logs:
            self._warn_of_foreign_train_step()
            return logs
        packed = logs.pop(PACKED)
        return {**logs, **recorder.unpacked(packed)}

    def _warn_of_foreign_train_step(self):
        asked_for = self.gradient_settings.thresholds or self.gradient_recorder.sinks
        if asked_for and self.trainable_weights:
            warnings.warn(
                f"{type(self).__name__}.train_step does not call super().train_step(data), which clips and records, "
                "so clipnorm, global_clipnorm and GradientNorms have no effect. Call it, or clip in the optimizer.",
                stacklevel=4,
            )

    @property
    def _reports_gradients(self):
        recorder = getattr(self, "_gradient_recorder", None)
        return recorder is not None and recorder.is_built and not self._evaluating

    def get_metrics_result(self):
        result = super().get_metrics_result()
        if self._reports_gradients:
            import tensorflow as tf

            if not tf.inside_function():
                result.update(self.gradient_recorder.logs())
        return result

    def reset_metrics(self):
        super().reset_metrics()
        if self._reports_gradients:
            self.gradient_recorder.reset_logs()

    @contextlib.contextmanager
    def _evaluation(self):
        before, self._evaluating = self._evaluating, True
        try:
            yield
        finally:
            self._evaluating = before

    def evaluate(self, *args, **kwargs):
        with self._evaluation():
            return super().evaluate(*args, **kwargs)

    def test_on_batch(self, *args, **kwargs):
        with self._evaluation():
            return super().test_on_batch(*args, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        logs = super().train_on_batch(x, y, sample_weight, class_weight, return_dict=True)
        if return_dict:
            return logs
        own = self.gradient_recorder.logs() if self.gradient_recorder.is_built else {}
        return self._flatten_metrics_in_order({name: logs[name] for name in logs if name not in own})
