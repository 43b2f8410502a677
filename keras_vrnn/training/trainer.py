"""The training of `Model` and `Sequential`: a `train_step` that measures, clips and applies the gradient.

Training needs the TensorFlow backend; building a model and predicting do not.
"""

import dataclasses
import functools
import warnings
from typing import Any, Literal

import keras

from keras_vrnn import _checks as checks
from keras_vrnn.layers.native_path import in_process
from keras_vrnn.training import logs, pruned, stateful_windows, workers
from keras_vrnn.training.automatic import AutomaticFit
from keras_vrnn.training.settings import (
    Automatic,
    GradientSettings,
    changed_settings,
    innermost,
    mark_announced,
    take_over_clipping,
)

# The most updates of truncated BPTT in one execution: 100,000 time steps in windows of 50. All are recorded, in a ring
# that is made before the length of the longest batch is known.
_MOST_WINDOWS = 2048


class GradientTraining(logs.GradientLogs, AutomaticFit):
    """Mixin before `keras.Model` that clips gradients and records their norms.

    The logs of training have five more entries, each over the updates of the epoch so far: `grad_norm` and
    `grad_norm_max` (mean and maximum of the global norm before clipping), `clipped_grad_norm` (its mean after
    clipping), `clip_fraction` (share of updates that clipping changed) and `skipped_steps` (updates left out
    because the gradient was not finite). The progress bar shows those that are not zero and fit into its line.
    `kv.callbacks.GradientNorms` receives the norms of every step.
    """

    gradient_settings: GradientSettings

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int | Literal["auto"] = "auto",
        jit_compile: bool | Literal["auto"] = "auto",
        auto_scale_loss: bool = True,
        *,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        nonfinite: Literal["skip", "raise", "apply"] = "skip",
        truncate_steps: int | None = None,
    ) -> None:
        """Configures the model for training: `keras.Model.compile` with four more arguments.

        Without clipping, the updates are those of Keras. A threshold applies to the gradient that moves the weights:
        after loss unscaling, averaged over `gradient_accumulation_steps`, summed over replicas, and with the rows of
        an embedding's gradient summed per token, where Keras takes the norm of the rows. The model takes over
        clipping that is set on the optimizer.

        Args:
            optimizer, loss, loss_weights, metrics, weighted_metrics, run_eagerly: As in Keras.
            steps_per_execution: As in Keras. "auto" lets `fit`, `evaluate` and `predict` run many batches per
                execution where that saves time and changes neither results nor callback calls: with arrays or other
                data of known length, and without a callback that sees batches. No recorded norm is lost.
            jit_compile: As in Keras. "auto" lets `fit` use XLA, on a CPU too, where it saves time and changes nothing:
                with a recurrent layer, fixed shapes, and no operation that XLA refuses or computes otherwise, such
                as random numbers. Evaluation and prediction are compiled as in Keras.
            auto_scale_loss: As in Keras.
            clipnorm: Largest norm c of each variable's gradient: g_i ← g_i · c / max(‖g_i‖, c).
            global_clipnorm: Largest norm of all gradients together, which are scaled by one common factor.
            nonfinite: What to do with a gradient that has inf or NaN. "skip" leaves out the update and counts it
                in `skipped_steps`; "raise" leaves it out and raises FloatingPointError with the step and the
                variables; "apply" updates nevertheless. A `LossScaleOptimizer` always leaves it out and lowers
                its scale: there, "raise" ends training once the scale has reached 1.
            truncate_steps: k, the time steps between two updates, or None. Sequences are cut into windows of k steps
                and a shorter last one. Each window starts from the final states of the one before, and updates the
                weights with the gradient of its own loss, which reaches back to the window's start. Needs an output
                and a target for every time step. A sample weight is (batch,) or (batch, 1) for whole sequences, and
                (batch, time) for steps. See docs/truncated_bptt.md.

        Raises:
            ValueError: A threshold is not a positive number, there are two ways of clipping, `nonfinite` is unknown,
                the model cannot be cut into windows for `truncate_steps`, or several replicas have `truncate_steps`,
                gradient accumulation or `steps_per_execution` above 1.
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
        automatic = Automatic(steps_per_execution == "auto", jit_compile == "auto")
        steps = (
            1
            if automatic.steps_per_execution
            else checks.positive_int("steps_per_execution", steps_per_execution)
        )
        replicas = self.distribute_strategy.num_replicas_in_sync
        workers.check_replicas(
            replicas,
            gradient_accumulation_steps=getattr(innermost(optimizer), "gradient_accumulation_steps", None),
            steps_per_execution=steps,
        )
        workers.check_replicas(replicas, least=0, truncate_steps=truncate_steps)
        if truncate_steps is not None:
            from keras_vrnn.training import truncated_bptt_checks

            truncated_bptt_checks.check_model(self, truncate_steps)
        super().compile(
            optimizer,
            loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        self.gradient_settings = settings
        self._automatic = automatic
        self._kept, self._loops, self._xla_is_refused = None, {}, False

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        # Only what differs from the defaults: `keras.models.clone_model` makes a `keras.Sequential` of a Sequential,
        # whose compile() takes no other arguments than Keras' own.
        for name, chosen in dataclasses.asdict(self._automatic).items():
            if chosen:
                del config[name]
        return {**config, **changed_settings(self.gradient_settings, self.optimizer)}

    def compile_from_config(self, config):
        # Keras does not compile a model that overrides compile() but not this method.
        config = keras.saving.deserialize_keras_object(config)
        mark_announced(config["optimizer"])
        self.compile(**config)
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> keras.callbacks.History:
        """As in Keras. For what it chooses by itself, see `compile`."""
        self._check_class_weight(class_weight)
        arguments = {
            "x": x,
            "y": y,
            "batch_size": batch_size,
            "epochs": epochs,
            "verbose": verbose,
            "callbacks": callbacks,
            "validation_split": validation_split,
            "validation_data": validation_data,
            "shuffle": shuffle,
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "initial_epoch": initial_epoch,
            "steps_per_epoch": steps_per_epoch,
            "validation_steps": validation_steps,
            "validation_batch_size": validation_batch_size,
            "validation_freq": validation_freq,
        }
        with self._as_compiled(), self._faster(arguments) as given:
            history = super().fit(**given)
        pruned.settle(self.trainable_variables)
        return history

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """As in Keras. The gradient norms come with `return_dict=True` only."""
        self._check_class_weight(class_weight)
        with self._as_compiled():
            return super().train_on_batch(x, y, sample_weight, class_weight, return_dict)

    def _check_class_weight(self, class_weight):
        if self.compiled and self.gradient_settings.truncate_steps is not None:
            from keras_vrnn.training import truncated_bptt_checks

            truncated_bptt_checks.check_class_weight(class_weight)

    def make_train_function(self, force: bool = False) -> None:
        from keras_vrnn.training.epoch import EpochFunction

        if not isinstance(self.train_function, EpochFunction):
            super().make_train_function(force=force)
        elif force:
            self.train_function.forget()

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None and workers.has_others(self.distribute_strategy):
            iterator, data_batch = None, workers.own_batch(self.distribute_strategy, iterator)
        super()._maybe_symbolic_build(iterator, data_batch)

    def train_step(self, data):
        x, y, sample_weight = self._unpacked(data)
        truncate_steps = self.gradient_settings.truncate_steps
        if truncate_steps is None:
            y_pred, loss = self._learn(x, y, sample_weight)
        else:
            from keras_vrnn.training.truncated_bptt import WindowLoop

            windows = WindowLoop(self, truncate_steps, (x, y, sample_weight), self._metrics_read_outputs())
            y_pred, loss = windows.learn(functools.partial(self._learn, windows=windows))
        self._track_loss(loss, x)
        results = self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        if self.trainable_weights:
            # Five separate results would cost a compiled step more than all of the recording.
            results = {**results, logs.PACKED: self.gradient_recorder.packed_logs()}
        return workers.reducible(results, self.distribute_strategy)

    def test_step(self, data):
        with in_process():
            results = super().test_step(self._unpacked(data))
        return workers.reducible(results, self.distribute_strategy)

    def _unpacked(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(stateful_windows.begin(self, data))
        if self.gradient_settings.truncate_steps is None:
            return x, y, sample_weight
        from keras_vrnn.training.truncated_bptt import with_weights_per_step

        return with_weights_per_step(x, y, sample_weight)

    def predict_step(self, *args):
        # Keras on JAX puts its state before the data.
        *state, data = args
        with in_process():
            return super().predict_step(*state, stateful_windows.begin(self, data))

    def _learn(self, x, y, sample_weight, windows=None):
        """Updates the weights once; returns the outputs before the update and the loss."""
        import tensorflow as tf

        from keras_vrnn.training.update import update

        graph = tf.compat.v1.get_default_graph() if self.tries_xla else None
        before = len(graph.get_operations()) if graph is not None else 0
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            if windows is not None:
                windows.check_outputs(x, y_pred)
            loss = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
            variables = self.trainable_weights
            self._build_training(variables, 1 if windows is None else windows.count)
            scaled_loss = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
        recorder = self.gradient_recorder
        if graph is not None and variables:
            recorder.keep_outside(recorder.index_checks.found(graph.get_operations()[before:]))
        if variables:
            gradients = tape.gradient(scaled_loss, variables)
            update(self.optimizer, variables, gradients, self.gradient_settings, recorder, graph is not None)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return y_pred, loss

    def _metrics_read_outputs(self):
        own = type(self).compute_metrics is not keras.Model.compute_metrics
        return own or self._compile_metrics is not None

    def _build_training(self, variables, updates):
        """Builds optimizer and recorder. `updates` is None if their number is unknown while the step is traced."""
        if not variables:
            return
        if not self.optimizer.built:
            self.optimizer.build(variables)
        names = _unique([v.path for v in variables])
        truncated = self.gradient_settings.truncate_steps is not None
        rows = _MOST_WINDOWS if updates is None else updates * self.steps_per_execution
        if truncated and rows > _MOST_WINDOWS:
            raise ValueError(
                f"truncate_steps={self.gradient_settings.truncate_steps} makes {updates} updates of a batch and {rows} "
                f"per execution, but only {_MOST_WINDOWS} can be recorded. Use longer windows, shorter sequences "
                "(kv.training.windows cuts them), or a smaller steps_per_execution."
            )
        room = 2 * _MOST_WINDOWS if truncated else 0
        self.gradient_recorder.build(names, rows, room, lambda: self.optimizer.iterations)

    def _track_loss(self, loss, x):
        """As in Keras: the loss is divided by the number of replicas for training, and undivided in the logs."""
        import tensorflow as tf

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        batch_size = tf.shape(next(leaf for leaf in keras.tree.flatten(x) if leaf is not None))[0]
        self._loss_tracker.update_state(loss * replicas if replicas > 1 else loss, sample_weight=batch_size)


def _require_tensorflow():
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"Training a keras_vrnn Model needs the TensorFlow backend of Keras. Received: {backend!r}. Set "
            "KERAS_BACKEND=tensorflow, or train a keras.Model with the same layers; to load a trained model for "
            "prediction, use keras.models.load_model(path, compile=False)."
        )


def _unique(names):
    """Numbers equal names: layers of a subclassed model may share one, and the second becomes `dense/kernel_1`."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        count = seen[name] = seen.get(name, -1) + 1
        unique.append(f"{name}_{count}" if count else name)
    return unique
