"""The training loop of `Model` and `Sequential`: a `train_step` that measures, clips and then applies the gradient.

Training needs the TensorFlow backend; importing this module, building a model and predicting do not.
"""

import dataclasses
import functools
import warnings
from typing import Any, Literal

import keras

from keras_vrnn import _checks as checks
from keras_vrnn.training import logs, windowing, workers
from keras_vrnn.training.automatic import AutomaticFit
from keras_vrnn.training.settings import (
    Automatic,
    GradientSettings,
    innermost,
    mark_announced,
    take_over_clipping,
)

# Updates of truncated BPTT that one execution may make: 100,000 time steps in windows of 50. They are all recorded, and
# the ring for them has to be there before the length of the longest batch is known.
_MOST_WINDOWS = 2048


class GradientTraining(logs.GradientLogs, AutomaticFit):
    """Mixin before `keras.Model`: gradient clipping and norms in `compile`, `fit` and `train_on_batch`.

    While training, the logs have five more entries, each over the updates of the epoch so far: `grad_norm` and
    `grad_norm_max` (mean and maximum of the global norm before clipping), `clipped_grad_norm` (its mean after
    clipping), `clip_fraction` (share of updates that clipping changed) and `skipped_steps` (updates left out
    because the gradient was not finite). The norms of every step go to `kv.callbacks.GradientNorms`.
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
            from keras_vrnn.training import truncated_checks

            truncated_checks.model(self, truncate_steps)
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
        self._kept, self._xla_is_refused = None, False

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
            **{name: "auto" for name, chosen in dataclasses.asdict(self._automatic).items() if chosen},
        }

    def compile_from_config(self, config):
        # Keras leaves a model with a compile() of its own uncompiled, unless it also overrides this.
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
        """As in Keras; `compile` says what it chooses by itself."""
        self._check_class_weight(class_weight)
        with self._as_compiled(), self._faster(callbacks, x, batch_size, steps_per_epoch):
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=shuffle,
                class_weight=class_weight,
                sample_weight=sample_weight,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                validation_batch_size=validation_batch_size,
                validation_freq=validation_freq,
            )

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """As in Keras. The values of the gradient come with `return_dict=True` only."""
        self._check_class_weight(class_weight)
        with self._as_compiled():
            return super().train_on_batch(x, y, sample_weight, class_weight, return_dict)

    def _check_class_weight(self, class_weight):
        if self.compiled and self.gradient_settings.truncate_steps is not None:
            from keras_vrnn.training import truncated_checks

            truncated_checks.weights_of_classes(class_weight)

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
            from keras_vrnn.training.truncated import Windows

            windows = Windows(self, truncate_steps, (x, y, sample_weight), self._metrics_read_outputs())
            y_pred, loss = windows.learn(functools.partial(self._learn, windows=windows))
        self._track_loss(loss, x)
        results = self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        if self.trainable_weights:
            # Five results of their own would cost a compiled step more than all of the recording does.
            results = {**results, logs.PACKED: self.gradient_recorder.packed_logs()}
        return workers.reducible(results, self.distribute_strategy)

    def test_step(self, data):
        return workers.reducible(super().test_step(self._unpacked(data)), self.distribute_strategy)

    def _unpacked(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(windowing.begin(self, data))
        if self.gradient_settings.truncate_steps is None:
            return x, y, sample_weight
        from keras_vrnn.training.truncated import with_weights_per_step

        return with_weights_per_step(x, y, sample_weight)

    def predict_step(self, *args):
        # Keras on JAX puts its state before the data.
        *state, data = args
        return super().predict_step(*state, windowing.begin(self, data))

    def _learn(self, x, y, sample_weight, windows=None):
        """Updates the weights once; returns the outputs before it and the loss."""
        import tensorflow as tf

        from keras_vrnn.training.update import update

        graph = tf.compat.v1.get_default_graph() if self._tries_xla else None
        before = len(graph.get_operations()) if graph is not None else 0
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            if windows is not None:
                windows.check(x, y_pred)
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
