"""The training loop of `Model` and `Sequential`: a `train_step` that measures, clips and then applies the gradient.

Training needs the TensorFlow backend; importing this module, building a model and predicting do not.
"""

import contextlib
import functools
import warnings
from typing import TYPE_CHECKING, Any

import keras

from keras_vrnn.training import pruned, speed, windowing, workers
from keras_vrnn.training.settings import GradientSettings, innermost, mark_announced, take_over_clipping

# One entry of the logs of `train_step`, which `train_function` replaces by the figures in it.
_PACKED_LOGS = "gradients"

# Updates of truncated BPTT that one execution may make: 100,000 time steps in windows of 50. They are all recorded, and
# the ring for them has to be there before the length of the longest batch is known.
_MOST_WINDOWS = 2048

_Mixin: Any = keras.Model if TYPE_CHECKING else object


class GradientTraining(_Mixin):
    """Mixin before `keras.Model`: gradient clipping and norms in `compile`, `fit` and `train_on_batch`.

    While training, the logs have five more entries, each over the updates of the epoch so far: `grad_norm` and
    `grad_norm_max` (mean and maximum of the global norm before clipping), `clipped_grad_norm` (its mean after
    clipping), `clip_fraction` (share of updates that clipping changed) and `skipped_steps` (updates left out
    because the gradient was not finite). The norms of every step go to `kv.callbacks.GradientNorms`.
    """

    train_function: Any
    _evaluating = False

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        *args,
        clipnorm=None,
        global_clipnorm=None,
        nonfinite="skip",
        truncate_steps=None,
        steps_per_execution="auto",
        jit_compile="auto",
        **kwargs,
    ):
        """Configures the model for training: `keras.Model.compile` with four more arguments.

        Both thresholds hold for the gradient that moves the weights: after loss unscaling, averaged over
        `gradient_accumulation_steps`, summed over replicas. Clipping set on the optimizer is taken over.

        Args:
            optimizer: As in Keras.
            loss: As in Keras.
            *args: As in Keras: loss_weights, metrics, weighted_metrics, run_eagerly.
            clipnorm: Largest norm of each variable's gradient: g_i ← g_i · c / max(‖g_i‖, c).
            global_clipnorm: Largest norm of all gradients together, scaled by one common factor.
            nonfinite: What to do with a gradient that has inf or NaN. "skip" leaves out the update and counts it
                in `skipped_steps`; "raise" leaves it out and raises FloatingPointError with the step and the
                variables; "apply" updates nevertheless. A `LossScaleOptimizer` always leaves it out and lowers
                its scale: there, "raise" ends training once the scale is down at 1.
            truncate_steps: Time steps k between two updates, or None. Sequences are then cut into windows of k steps,
                the last of what is left; each goes on from the states in which the one before it ended, and updates
                the weights with the gradient of its own loss, which reaches back to its start. Needs an output and a
                target for every time step; see docs/truncated_bptt.md.
            steps_per_execution: As in Keras; "auto" lets `fit` choose a number by which its own loop costs little,
                and 1 where a callback wants to see every batch. No norm and no logged step is lost by it.
            jit_compile: As in Keras; "auto" takes XLA on a CPU too, where it is safe and makes training faster.
            **kwargs: As in Keras: metrics, run_eagerly, auto_scale_loss, ...

        Raises:
            ValueError: A threshold that is not a positive number, two ways of clipping, an unknown `nonfinite`,
                `truncate_steps` for a model that cannot be cut into windows, or, on several replicas,
                `truncate_steps`, gradient accumulation or `steps_per_execution` above 1.
            RuntimeError: The Keras backend is not TensorFlow.
        """
        _require_tensorflow()
        settings = GradientSettings(
            clipnorm=clipnorm,
            global_clipnorm=global_clipnorm,
            nonfinite=nonfinite,
            truncate_steps=truncate_steps,
        )
        optimizer = keras.optimizers.get(optimizer)
        settings = take_over_clipping(settings, optimizer)
        replicas = self.distribute_strategy.num_replicas_in_sync
        workers.check_replicas(
            replicas,
            gradient_accumulation_steps=getattr(innermost(optimizer), "gradient_accumulation_steps", None),
            steps_per_execution=None if steps_per_execution == "auto" else steps_per_execution,
        )
        workers.check_replicas(replicas, least=0, truncate_steps=truncate_steps)
        if truncate_steps is not None:
            from keras_vrnn.training import truncated_checks

            truncated_checks.model(self, truncate_steps)
        steps = 1 if steps_per_execution == "auto" else steps_per_execution
        super().compile(optimizer, loss, *args, steps_per_execution=steps, jit_compile=jit_compile, **kwargs)
        self.gradient_settings = settings
        self._automatic = {
            "steps_per_execution": steps_per_execution == "auto",
            "jit_compile": jit_compile == "auto",
        }
        self._choose_xla()

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        settings = self.gradient_settings
        return {
            **config,
            "clipnorm": settings.clipnorm,
            "global_clipnorm": settings.global_clipnorm,
            "nonfinite": settings.nonfinite,
            "truncate_steps": settings.truncate_steps,
            **{name: "auto" for name, chosen in self._automatic.items() if chosen},
        }

    def compile_from_config(self, config):
        # Keras leaves a model with a compile() of its own uncompiled, unless it also overrides this.
        config = keras.saving.deserialize_keras_object(config)
        mark_announced(config["optimizer"])
        self.compile(**config)
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, *args, **kwargs):
        """As in Keras; see `compile` for what it chooses by itself."""
        self._choose_xla()
        if self._automatic["steps_per_execution"]:
            split, steps = kwargs.get("validation_split", 0.0), kwargs.get("steps_per_epoch")
            batches = speed.batches_in(x, batch_size, split) if steps is None else steps
            together = speed.batches_per_execution(self, batch_size or 32, batches, callbacks)
            if together != self.steps_per_execution:
                self.steps_per_execution = together
                self.train_function = self.test_function = self.predict_function = None
        history = super().fit(x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs)
        pruned.settle(self.trainable_variables)
        return history

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None and workers.has_others(self.distribute_strategy):
            iterator, data_batch = None, workers.own_batch(self.distribute_strategy, iterator)
        super()._maybe_symbolic_build(iterator, data_batch)

    def _choose_xla(self):
        """Before the first step, and again before `fit`: a Sequential model may have no inputs until then."""
        if self._automatic["jit_compile"] and self.train_function is None:
            self.jit_compile = speed.xla_helps(self)

    def make_predict_function(self, force=False):
        # Predictions are asked for in batches of any size, and XLA compiles each size anew.
        chosen = self.jit_compile
        self.jit_compile = chosen and not self._automatic["jit_compile"]
        try:
            return super().make_predict_function(force)
        finally:
            self.jit_compile = chosen

    @property
    def gradient_recorder(self):
        """The `GradientRecorder` that keeps the norms of every step."""
        if not hasattr(self, "_gradient_recorder"):
            from keras_vrnn.training.recorder import GradientRecorder

            self._gradient_recorder = GradientRecorder()
        return self._gradient_recorder

    def train_step(self, data):
        _require_tensorflow()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(windowing.begin(self, data))
        truncate_steps = self.gradient_settings.truncate_steps
        if truncate_steps is None:
            y_pred, loss = self._learn(x, y, sample_weight)
        else:
            from keras_vrnn.training.truncated import Windows

            windows = Windows(self, truncate_steps, (x, y, sample_weight), self._metrics_read_outputs())
            y_pred, loss = windows.learn(functools.partial(self._learn, windows=windows))
        self._track_loss(loss, x)
        logs = self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        if not self.trainable_weights:
            return workers.reducible(logs, self.distribute_strategy)
        # Five results of their own would cost a compiled step more than all of the recording does.
        logs = {**logs, _PACKED_LOGS: self.gradient_recorder.packed_logs()}
        return workers.reducible(logs, self.distribute_strategy)

    def test_step(self, data):
        return workers.reducible(super().test_step(windowing.begin(self, data)), self.distribute_strategy)

    def predict_step(self, data):
        return super().predict_step(windowing.begin(self, data))

    def _learn(self, x, y, sample_weight, windows=None):
        """Updates the weights once; returns the outputs before it and the loss."""
        import tensorflow as tf

        from keras_vrnn.training.update import update

        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            if windows is not None:
                windows.check(x, y_pred)
            loss = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
            variables = self.trainable_weights
            self._build_training(variables, 1 if windows is None else windows.count)
            scaled_loss = self.optimizer.scale_loss(loss)
        if variables:
            gradients = tape.gradient(scaled_loss, variables)
            update(self.optimizer, variables, gradients, self.gradient_settings, self.gradient_recorder)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return y_pred, loss

    def _metrics_read_outputs(self):
        own = type(self).compute_metrics is not keras.Model.compute_metrics
        return own or self._compile_metrics is not None

    def _build_training(self, variables, updates):
        """`updates` of a batch; None where that is not known while the step is traced."""
        if not variables:
            return
        if not self.optimizer.built:
            self.optimizer.build(variables)
        names = _unique([v.path for v in variables])
        truncated = self.gradient_settings.truncate_steps is not None
        rows = _MOST_WINDOWS if updates is None else updates * self.steps_per_execution
        if truncated and rows > _MOST_WINDOWS:
            raise ValueError(
                f"truncate_steps={self.gradient_settings.truncate_steps} makes {updates} updates of a batch, "
                f"{rows} in one execution, of which {_MOST_WINDOWS} can be recorded. Take longer windows, shorter "
                "sequences (kv.training.windows cuts them), or a smaller steps_per_execution."
            )
        room = 2 * _MOST_WINDOWS if truncated else 0
        self.gradient_recorder.build(names, rows, room, lambda: self.optimizer.iterations)

    def _track_loss(self, loss, x):
        """As in Keras, which divides each replica's loss by their number and shows it whole."""
        import tensorflow as tf

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        batch_size = tf.shape(next(leaf for leaf in keras.tree.flatten(x) if leaf is not None))[0]
        self._loss_tracker.update_state(loss * replicas if replicas > 1 else loss, sample_weight=batch_size)

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=force)
        from keras_vrnn.training.recorder import named

        recorder, execute = self.gradient_recorder, self.train_function
        recorder.expect_new_function()
        raises = self.gradient_settings.nonfinite == "raise"

        def execute_and_record(iterator):
            recorder.make_room()
            logs = execute(iterator)
            if raises:
                recorder.raise_if_halted()
            if not isinstance(logs, dict) or _PACKED_LOGS not in logs:
                self._warn_of_foreign_train_step()
                return logs
            packed = logs.pop(_PACKED_LOGS)
            return {**logs, **named(packed)}

        self.train_function = execute_and_record

    def _warn_of_foreign_train_step(self):
        asked_for = self.gradient_settings.thresholds or self.gradient_recorder.sinks
        if asked_for and self.trainable_weights:
            warnings.warn(
                f"{type(self).__name__}.train_step does not call super().train_step(data), which clips and records: "
                "clipnorm, global_clipnorm and GradientNorms have no effect. Call it, or clip in the optimizer.",
                stacklevel=3,
            )

    # Logs: the figures of training appear in training, and nowhere else.

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
        """As in Keras. The gradient figures come with `return_dict=True`; the list has only what Keras puts there."""
        logs = super().train_on_batch(x, y, sample_weight, class_weight, return_dict=True)
        if return_dict:
            return logs
        own = self.gradient_recorder.logs() if self.gradient_recorder.is_built else {}
        return self._flatten_metrics_in_order({name: logs[name] for name in logs if name not in own})


def _require_tensorflow():
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"Training a keras_vrnn Model needs the TensorFlow backend of Keras, received {backend!r}. Set "
            "KERAS_BACKEND=tensorflow, or train a keras.Model with the same layers; to load a trained model for "
            "prediction, use keras.models.load_model(path, compile=False)."
        )


def _unique(names):
    """Layers of a subclassed model may share a name: the second `dense/kernel` becomes `dense/kernel_1`."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        count = seen[name] = seen.get(name, -1) + 1
        unique.append(f"{name}_{count}" if count else name)
    return unique
