"""The automatic choices of `fit`: several batches per execution, and XLA.

They hold while the training loop runs. Outside `fit`, and whenever a callback uses the model, the model is as compiled.
"""

import contextlib
from typing import TYPE_CHECKING, Any

import keras

from keras_vrnn.training import executions
from keras_vrnn.training.settings import Automatic

_Mixin: Any = keras.Model if TYPE_CHECKING else object


class AutomaticFit(_Mixin):
    """Mixin before `keras.Model` that makes `fit` faster where no program can notice."""

    train_function: Any
    _automatic = Automatic()
    _tries_xla = False
    _xla_is_refused = False
    # The train function of the last `fit` with the choices for which it was made, so that the next need not trace it.
    _kept: Any = None
    # Steps per execution, XLA and train function of the compiled model while `fit` replaces them.
    _compiled_with: Any = None

    @contextlib.contextmanager
    def _faster(self, callbacks, x, batch_size, steps_per_epoch):
        if not self.compiled:  # Keras then raises its own error
            yield
            return
        steps, xla = self.steps_per_execution, False
        if self._automatic.steps_per_execution:
            steps = executions.batches_per_execution(self, callbacks, x, batch_size, steps_per_epoch)
        if self._automatic.jit_compile and not self.jit_compile and not self._xla_is_refused:
            from keras_vrnn.training.xla import helps

            xla = helps(self)
        if not xla and steps == self.steps_per_execution:
            yield
            return
        kept, function = self._kept or (None, None)
        with self._executing(steps, xla or self.jit_compile, function if kept == (steps, xla) else None):
            self._tries_xla = xla
            try:
                yield
            finally:
                self._kept = ((steps, self._tries_xla), self.train_function)
                self._tries_xla = False

    @contextlib.contextmanager
    def _executing(self, steps_per_execution, jit_compile, train_function):
        self._compiled_with = (self.steps_per_execution, self.jit_compile, self.train_function)
        self.steps_per_execution, self.jit_compile = steps_per_execution, jit_compile
        self.train_function = train_function
        try:
            yield
        finally:
            self.steps_per_execution, self.jit_compile, self.train_function = self._compiled_with
            self._compiled_with = None

    @contextlib.contextmanager
    def _as_compiled(self):
        """Suspends the choices of a running `fit` while a callback, or validation, uses the model."""
        if self._compiled_with is None:
            yield
            return
        chosen = (self.steps_per_execution, self.jit_compile, self.train_function)
        outside, tries_xla = self._compiled_with, self._tries_xla
        self.steps_per_execution, self.jit_compile, self.train_function = outside
        self._compiled_with, self._tries_xla = None, False
        try:
            yield
        finally:
            self._compiled_with = (self.steps_per_execution, self.jit_compile, self.train_function)
            self.steps_per_execution, self.jit_compile, self.train_function = chosen
            self._tries_xla = tries_xla

    def make_train_function(self, force: bool = False) -> None:
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=force)
        if self._tries_xla:
            from keras_vrnn.training.xla import Trial

            self.train_function = Trial(
                self.train_step, self.train_function, self._without_xla, self.steps_per_execution
            )

    def _without_xla(self):
        current = self.train_function
        self._tries_xla, self._xla_is_refused, self.jit_compile = False, True, False
        super().make_train_function(force=True)
        made, self.train_function = self.train_function, current
        return made

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As in Keras."""
        with self._as_compiled():
            if kwargs.get("_use_cached_eval_dataset"):
                # `fit` has made this iterator for its own number of batches per execution.
                self._eval_epoch_iterator.steps_per_execution = self.steps_per_execution
            return super().evaluate(
                x,
                y,
                batch_size=batch_size,
                verbose=verbose,
                sample_weight=sample_weight,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """As in Keras."""
        with self._as_compiled():
            return super().predict(
                x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
            )

    def predict_on_batch(self, x: Any) -> Any:
        """As in Keras."""
        with self._as_compiled():
            return super().predict_on_batch(x)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """As in Keras."""
        with self._as_compiled():
            return super().test_on_batch(x, y, sample_weight, return_dict)
