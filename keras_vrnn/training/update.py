"""One update of the weights: measure, clip and apply the gradient that moves them (TensorFlow).

    ĝ = Σ_replicas (1/k) Σ_k g / s          s the loss scale, k the number of accumulated batches

Keras (3.15) clips on each replica before the sum. Here ĝ comes first, so its norm is the norm of the update.
"""

import contextlib

import keras
import tensorflow as tf

from keras_vrnn.training import gradients as equations
from keras_vrnn.training import pruned
from keras_vrnn.training.gradients import times
from keras_vrnn.training.settings import innermost, own_clipping


def update(optimizer, variables, gradients, settings, recorder, indices_checked=False):
    """Updates `variables` and records the norms. Call it in a replica context.

    Args:
        optimizer: A built `keras.optimizers.Optimizer`.
        variables: The trainable variables.
        gradients: Gradients of `optimizer.scale_loss(loss)`: tensors, `IndexedSlices` or None.
        settings: `GradientSettings`.
        recorder: A built `GradientRecorder`.
        indices_checked: Whether an index out of range, as in `recorder.all_inside`, prevents the update.
    """
    replica = tf.distribute.get_replica_context()
    scale = optimizer.scale_loss(1.0)
    accumulation = Accumulation(optimizer)

    own = [_unscaled(g, v, scale) for g, v in zip(gradients, variables, strict=True)]
    dense = [equations.densify(g) for g in own]
    clipped = equations.clip(_summed(replica, accumulation.averaged(dense)), settings)
    finite = tf.math.is_finite(clipped.global_norm)

    # The optimizer sums over the replicas and divides by the scale itself.
    share = scale / replica.num_replicas_in_sync
    final = [times(g, share) for g in accumulation.choose(clipped.gradients, dense)]
    if accumulation.batches == 1 and innermost(optimizer).loss_scale_factor is None:
        # Keras' optimizers take the rows of an embedding's gradient one by one. They sum them to accumulate them, and
        # fail on them with a `loss_scale_factor` (3.15).
        rows = [times(g, scale) for g in clipped.shrink(own)]
        final = [r if isinstance(r, tf.IndexedSlices) else f for r, f in zip(rows, final, strict=True)]
    final = [g if f is None else tf.cast(f, g.dtype) for f, g in zip(final, gradients, strict=True)]

    applied, handed_over, fatal = _decide(finite, scale, optimizer, settings, recorder)
    if indices_checked:
        applied = tf.logical_and(applied, recorder.all_inside)
        handed_over = (
            recorder.all_inside if handed_over is True else tf.logical_and(handed_over, recorder.all_inside)
        )
    counts = tf.logical_or(accumulation.complete, tf.logical_not(finite))
    if settings.nonfinite == "raise":
        counts = tf.logical_and(counts, tf.logical_not(recorder.halted))

    def in_cross_replica_context(strategy, final):
        # All replicas have the same norms, so the first replica's are recorded.
        recorder.write(clipped, applied, counts)
        if settings.nonfinite == "raise":
            recorder.halt_if(fatal)

        def apply():
            accumulation.reset_if(finite)
            with _without_own_clipping(optimizer):
                strategy.extended.call_for_each_replica(
                    lambda gradients: _apply(optimizer, gradients, variables), args=(final,)
                )

        # The cond must stand here: in a replica context, the optimizer inside it could not sum over replicas.
        if handed_over is True:
            apply()
        else:
            tf.cond(handed_over, apply, lambda: None)

    replica.merge_call(in_cross_replica_context, args=(final,))


def _decide(finite, scale, optimizer, settings, recorder):
    """Returns whether the update is made, whether the optimizer is called, and whether training ends here."""
    scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    fatal = tf.logical_not(finite)
    if settings.nonfinite == "raise":
        if scales_loss:
            # The loss scale finds its size by overflows; a scale of 1 cannot be lowered any further.
            fatal = tf.logical_and(fatal, scale <= 1.0)
        goes_on = tf.logical_not(tf.logical_or(fatal, recorder.halted))
        return tf.logical_and(finite, goes_on), goes_on, fatal
    if scales_loss:
        # It skips the update itself, and must see the overflow to lower its scale.
        return finite, True, fatal
    if settings.nonfinite == "skip":
        return finite, finite, fatal
    return tf.constant(True), True, fatal


def _apply(optimizer, gradients, variables):
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


class Accumulation:
    """The optimizer's `gradient_accumulation_steps`: it sums k batches and divides by k at the k-th.

    The sum must be clipped inside the optimizer, which offers no hook for that. So at the k-th batch its accumulators
    are emptied, and it receives k times the clipped average instead of the last batch's gradient.
    """

    def __init__(self, optimizer):
        optimizer = innermost(optimizer)
        self.batches = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        self.complete = tf.constant(True)
        if self.batches > 1:
            self._sums = [v for v in optimizer.variables if v.name.endswith("gradient_accumulator")]
            iteration = next(v for v in optimizer.variables if v.name == "iteration")
            self.complete = tf.equal((iteration.value + 1) % self.batches, 0)

    def averaged(self, gradients):
        if self.batches == 1:
            return gradients
        return [
            g if g is None else (g + tf.cast(total.value, g.dtype)) / self.batches
            for g, total in zip(gradients, self._sums, strict=True)
        ]

    def choose(self, averages, gradients):
        """Returns k times the average at the k-th batch, and the batch's own gradient before it."""
        if self.batches == 1:
            return averages
        return [
            g if g is None else tf.where(self.complete, self.batches * average, g)
            for average, g in zip(averages, gradients, strict=True)
        ]

    def reset_if(self, condition):
        if self.batches > 1:
            empty = tf.logical_and(self.complete, condition)
            for total in self._sums:
                total.assign(tf.where(empty, tf.zeros_like(total.value), total.value))


def _unscaled(gradient, variable, scale):
    """g / s in float32 or wider, and None for the scales that float8 training passes as gradients."""
    if gradient is None or getattr(variable, "overwrite_with_gradient", False):
        return None
    gradient = pruned.masked(gradient, variable)
    if gradient.dtype in (tf.float16, tf.bfloat16):
        gradient = tf.cast(gradient, tf.float32)
    return times(gradient, 1.0 / scale)


def _summed(replica, gradients):
    if replica.num_replicas_in_sync == 1:
        return gradients
    present = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [g for g in gradients if g is not None]))
    return [g if g is None else next(present) for g in gradients]


@contextlib.contextmanager
def _without_own_clipping(optimizer):
    """Silences the optimizer's own clipping, which the model has taken over, while an update is traced or run."""
    silenced = own_clipping(optimizer)
    optimizer = innermost(optimizer)
    for name in silenced:
        setattr(optimizer, name, None)
    try:
        yield
    finally:
        for name, value in silenced.items():
            setattr(optimizer, name, value)
