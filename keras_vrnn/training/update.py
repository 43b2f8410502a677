"""One update of the weights: measure → clip → apply, on the gradient that really moves them (TensorFlow).

    ĝ = Σ_replicas (1/k) Σ_k g / s          s the loss scale, k the batches that are accumulated

Keras (3.15) clips on each replica, before the sum. Here ĝ comes first, so that its norm is the norm of the update.
"""

import contextlib

import keras
import tensorflow as tf

from keras_vrnn.training import gradients as equations
from keras_vrnn.training import pruned
from keras_vrnn.training.settings import innermost, own_clipping


def update(optimizer, variables, gradients, settings, recorder):
    """Updates `variables`, and records the norms. To be called in a replica context.

    Args:
        optimizer: a built `keras.optimizers.Optimizer`.
        variables: the trainable variables.
        gradients: of `optimizer.scale_loss(loss)`: tensors, `IndexedSlices` or None.
        settings: `GradientSettings`.
        recorder: a built `GradientRecorder`.
    """
    replica = tf.distribute.get_replica_context()
    scale = optimizer.scale_loss(1.0)
    accumulation = Accumulation(optimizer)

    own = [_unscaled(g, v, scale) for g, v in zip(gradients, variables, strict=True)]
    clipped = equations.clip(_summed(replica, accumulation.averaged(own)), settings)
    finite = tf.math.is_finite(clipped.global_norm)

    # The optimizer will sum over the replicas and divide by the scale itself.
    share = scale / replica.num_replicas_in_sync
    final = [_times(g, share) for g in accumulation.choose(clipped.gradients, own)]
    final = [g if f is None else tf.cast(f, g.dtype) for f, g in zip(final, gradients, strict=True)]

    applied, handed_over, fatal = _decide(finite, scale, optimizer, settings, recorder)
    counts = tf.logical_or(accumulation.complete, tf.logical_not(finite))
    if settings.nonfinite == "raise":
        counts = tf.logical_and(counts, tf.logical_not(recorder.halted))

    def in_cross_replica_context(strategy, final):
        # Every replica has the same figures: those of the first one stand for all.
        recorder.write(clipped, applied, counts)
        if settings.nonfinite == "raise":
            recorder.halt_if(fatal)

        def apply():
            accumulation.reset_if(finite)
            with _without_own_clipping(optimizer):
                strategy.extended.call_for_each_replica(
                    lambda gradients: _apply(optimizer, gradients, variables), args=(final,)
                )

        # A cond with an optimizer in it must stand here: in a replica context the sum inside it could not be made.
        if handed_over is True:
            apply()
        else:
            tf.cond(handed_over, apply, lambda: None)

    replica.merge_call(in_cross_replica_context, args=(final,))


def _decide(finite, scale, optimizer, settings, recorder):
    """Whether the update is made, whether the optimizer is called at all, and whether training ends here."""
    scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    fatal = tf.logical_not(finite)
    if settings.nonfinite == "raise":
        if scales_loss:
            # An overflow is how the loss scale finds its size; at scale 1 there is nothing left to lower.
            fatal = tf.logical_and(fatal, scale <= 1.0)
        goes_on = tf.logical_not(tf.logical_or(fatal, recorder.halted))
        return tf.logical_and(finite, goes_on), goes_on, fatal
    if scales_loss:
        # It leaves out the update itself, and must see the overflow to lower its scale.
        return finite, True, fatal
    if settings.nonfinite == "skip":
        return finite, finite, fatal
    return tf.constant(True), True, fatal


def _apply(optimizer, gradients, variables):
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


class Accumulation:
    """The optimizer's `gradient_accumulation_steps`: it sums k batches, and divides by k at the k-th.

    The sum must be clipped where the optimizer does not let us in. So at the k-th batch its accumulators are emptied,
    and it is handed k times the clipped average instead of the last batch's gradient.
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
        """k times the average at the k-th batch, before that the batch's own gradient."""
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
    """g / s in float32 or wider, dense. None for what is no gradient: float8 training hands over scales as such."""
    if gradient is None or getattr(variable, "overwrite_with_gradient", False):
        return None
    gradient = pruned.masked(equations.densify(gradient), variable)
    if gradient.dtype in (tf.float16, tf.bfloat16):
        gradient = tf.cast(gradient, tf.float32)
    return _times(gradient, 1.0 / scale)


def _times(gradient, factor):
    if gradient is None or (isinstance(factor, float) and factor == 1.0):
        return gradient
    return gradient * tf.cast(factor, gradient.dtype)


def _summed(replica, gradients):
    if replica.num_replicas_in_sync == 1:
        return gradients
    present = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [g for g in gradients if g is not None]))
    return [g if g is None else next(present) for g in gradients]


@contextlib.contextmanager
def _without_own_clipping(optimizer):
    """Silences the clipping that the model has taken over, while the optimizer's update is traced or run."""
    silenced = own_clipping(optimizer)
    optimizer = innermost(optimizer)
    for name in silenced:
        setattr(optimizer, name, None)
    try:
        yield
    finally:
        for name, value in silenced.items():
            setattr(optimizer, name, value)
