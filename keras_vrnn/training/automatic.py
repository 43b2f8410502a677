"""The automatic choices of `fit`: many batches per execution, and XLA; the former also in `evaluate` and `predict`.

They hold while the loop over batches runs. Outside, and whenever a callback uses the model, the model is as compiled.
"""

import contextlib
from typing import TYPE_CHECKING, Any

import keras

from keras_vrnn.training import epoch_plan, executions
from keras_vrnn.training.progress_bar import with_progress_bar
from keras_vrnn.training.settings import Automatic

_Mixin: Any = keras.Model if TYPE_CHECKING else object


class AutomaticFit(_Mixin):
    """Mixin before `keras.Model` that makes `fit` faster where no program can notice."""

    train_function: Any
    test_function: Any
    predict_function: Any
    tries_xla = False
    _automatic = Automatic()
    _xla_is_refused = False
    # The train function of the last `fit` with the choices for which it was made, so that the next need not trace it.
    _kept: Any = None
    # The programs of whole epochs, for the same reason.
    _loops: Any = None
    # Steps per execution, XLA and train function of the compiled model while `fit` replaces them.
    _compiled_with: Any = None

    @contextlib.contextmanager
    def _faster(self, arguments):
        """Chooses how `fit` runs; yields the arguments for Keras' `fit` with which it does the same faster."""
        if not self.compiled:  # Keras then raises its own error
            yield arguments
            return
        xla, plan = False, None
        if self._automatic.jit_compile and not self.jit_compile and not self._xla_is_refused:
            from keras_vrnn.training.xla import helps

            xla = helps(self)
        if self._automatic.steps_per_execution:
            plan = epoch_plan.for_fit(self, arguments)
        way = (
            self._batch_by_batch(xla, arguments)
            if plan is None
            else self._epoch_by_epoch(xla, arguments, plan)
        )
        with way as given:
            yield given

    @contextlib.contextmanager
    def _batch_by_batch(self, xla, arguments):
        steps = self.steps_per_execution
        if self._automatic.steps_per_execution:
            data = (arguments[name] for name in ("callbacks", "x", "batch_size", "steps_per_epoch"))
            steps = executions.batches_per_execution(self, *data)
        arguments = {**arguments, "callbacks": with_progress_bar(arguments)}
        if not xla and steps == self.steps_per_execution:
            yield arguments
            return
        kept, function = self._kept or (None, None)
        with self._executing(steps, xla, function if kept == (steps, xla) else None):
            try:
                yield arguments
            finally:
                self._kept = ((steps, self.tries_xla), self.train_function)

    @contextlib.contextmanager
    def _epoch_by_epoch(self, xla, arguments, plan):
        from keras_vrnn.training.epoch import EpochFunction
        from keras_vrnn.training.epoch_data import EpochData

        data = EpochData(plan, arguments["class_weight"], arguments["shuffle"])
        jit_compile = xla or self.jit_compile
        function = EpochFunction(
            self, self.train_step, jit_compile, data, arguments["epochs"], self._loops, self._recorded
        )
        given = dict.fromkeys(("y", "sample_weight", "class_weight"))
        given["callbacks"] = with_progress_bar(arguments)
        given |= {"x": data, "validation_split": 0.0, "validation_data": plan.validation}
        with self._executing(plan.batches, xla, function):
            yield {**arguments, **given}

    @contextlib.contextmanager
    def _executing(self, steps_per_execution, xla, train_function):
        self._compiled_with = (self.steps_per_execution, self.jit_compile, self.train_function)
        self.steps_per_execution, self.jit_compile = steps_per_execution, xla or self.jit_compile
        self.train_function, self.tries_xla = train_function, xla
        try:
            yield
        finally:
            self.tries_xla = False
            self.steps_per_execution, self.jit_compile, self.train_function = self._compiled_with
            self._compiled_with = None

    @contextlib.contextmanager
    def _as_compiled(self):
        """Suspends the choices of a running `fit` while a callback, or validation, uses the model."""
        if self._compiled_with is None:
            yield
            return
        chosen = (self.steps_per_execution, self.jit_compile, self.train_function)
        outside, tries_xla = self._compiled_with, self.tries_xla
        self.steps_per_execution, self.jit_compile, self.train_function = outside
        self._compiled_with, self.tries_xla = None, False
        try:
            yield
        finally:
            self._compiled_with = (self.steps_per_execution, self.jit_compile, self.train_function)
            self.steps_per_execution, self.jit_compile, self.train_function = chosen
            self.tries_xla = tries_xla

    def make_train_function(self, force: bool = False) -> None:
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=force)
        if self.tries_xla:
            from keras_vrnn.training.xla import Trial

            self.train_function = Trial(
                self.train_step, self.train_function, self._without_xla, self.steps_per_execution
            )

    def refuse_xla(self):
        """Goes on without XLA, in this training and the next."""
        self.tries_xla, self._xla_is_refused, self.jit_compile = False, True, False

    def _without_xla(self):
        current = self.train_function
        self.refuse_xla()
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
        arguments = {
            "x": x,
            "y": y,
            "batch_size": batch_size,
            "verbose": verbose,
            "sample_weight": sample_weight,
            "steps": steps,
            "callbacks": callbacks,
            "return_dict": return_dict,
            **kwargs,
        }
        with self._as_compiled(), self._faster_evaluation(arguments) as given:
            return super().evaluate(**given)

    @contextlib.contextmanager
    def _faster_evaluation(self, arguments):
        """Yields the arguments for Keras' `evaluate` with which it does the same faster."""
        plan = None
        if self.compiled and self._automatic.steps_per_execution:
            plan = epoch_plan.for_evaluate(self, arguments)
        if plan is None:
            if arguments.get("_use_cached_eval_dataset"):
                # `fit` has made this iterator for its own number of batches per execution.
                self._eval_epoch_iterator.steps_per_execution = self.steps_per_execution
            yield arguments
            return
        from keras_vrnn.training.epoch import EpochFunction
        from keras_vrnn.training.epoch_data import EpochData

        data = EpochData(plan)
        before = self.steps_per_execution, self.test_function
        self.steps_per_execution = plan.batches
        self.test_function = EpochFunction(self, self.test_step, self.jit_compile, data, 1, self._loops)
        try:
            yield {
                **arguments,
                "x": data,
                "y": None,
                "sample_weight": None,
                "callbacks": with_progress_bar(arguments),
                "_use_cached_eval_dataset": False,
            }
        finally:
            self.steps_per_execution, self.test_function = before

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """As in Keras."""
        arguments = {
            "x": x,
            "batch_size": batch_size,
            "verbose": verbose,
            "steps": steps,
            "callbacks": callbacks,
        }
        with self._as_compiled(), self._faster_prediction(arguments) as given:
            return super().predict(**given)

    @contextlib.contextmanager
    def _faster_prediction(self, arguments):
        """Yields the arguments for Keras' `predict` with which it does the same faster."""
        plan = None
        if self._automatic.steps_per_execution:
            plan = epoch_plan.for_predict(self, arguments)
        if plan is None:
            yield arguments
            return
        from keras_vrnn.training.epoch import PredictFunction
        from keras_vrnn.training.epoch_data import EpochData

        data = EpochData(plan, item_per_batch=True)
        before = self.steps_per_execution, self.predict_function
        self.steps_per_execution = plan.batches
        self.predict_function = PredictFunction(self, self.predict_step, False, data, 1, self._loops)
        try:
            yield {**arguments, "x": data, "callbacks": with_progress_bar(arguments)}
        finally:
            self.steps_per_execution, self.predict_function = before

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
