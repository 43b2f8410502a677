"""Norms of gradients and clipping, as equations (TensorFlow).

    n_i = ‖g_i‖₂                    norm of one variable's gradient
    n   = √(Σ_i n_i²)               global norm, over all variables

    clipnorm=c          g_i ← g_i · c / max(n_i, c)         Pascanu et al. 2013, section 3.2, per variable
    global_clipnorm=c   g_i ← g_i · c / max(n, c)           the same over all variables together
    clipvalue=c         g_i ← min(max(g_i, −c), c)          elementwise

A gradient inside its bound comes back unchanged to the last bit, since c / max(n, c) is then exactly 1.
"""

import dataclasses
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Clipped:
    """Gradients after clipping, with the figures of both sides.

    Attributes:
        gradients: list of tensors, None where a variable has no gradient.
        norms: n_i before clipping, shape (variables,); 0 for no gradient.
        global_norm: n before clipping, a scalar.
        clipped_norms, clipped_global_norm: the same after clipping.
        changed: scalar bool, whether clipping changed anything.
    """

    gradients: list
    norms: Any
    global_norm: Any
    clipped_norms: Any
    clipped_global_norm: Any
    changed: Any


def densify(gradient):
    """Sums the rows of an embedding's gradient that belong to the same id.

    A token that occurs k times gives k rows of `IndexedSlices`. The norm of the rows is not the norm of their sum,
    and Keras (3.15) optimizers square the rows one by one: Adam's second moment comes out too small.
    """
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])
    return gradient


def norms(gradients):
    """n_i of every gradient, shape (variables,), and the global n, in float32 or wider.

    g² leaves float32 at |g| ≈ 1e19, which a gradient that explodes over a hundred steps does reach while it is finite.
    Only then is the slower n_i = m_i·√Σ(g_i/m_i)² with m_i = max|g_i| taken.
    """
    present = [tf.reshape(g, [-1]) for g in gradients if g is not None]

    def plain():
        # l2_loss = Σg²/2 is one kernel where square and sum would be two.
        n = tf.sqrt(2.0 * tf.stack([tf.cast(tf.nn.l2_loss(g), tf.float32) for g in present]))
        return n, tf.norm(n)

    def scaled():
        n = tf.stack([tf.cast(_scaled_norm(g), tf.float32) for g in present])
        return n, _scaled_norm(n)

    n, total = plain()
    n, total = tf.cond(tf.math.is_finite(total), lambda: (n, total), scaled)
    if len(present) < len(gradients):
        positions = [[i] for i, g in enumerate(gradients) if g is not None]
        n = tf.scatter_nd(positions, n, [len(gradients)])
    return n, total


def _scaled_norm(vector):
    largest = tf.reduce_max(tf.abs(vector))
    norm = largest * tf.norm(tf.math.divide_no_nan(vector, largest))
    # An infinite entry makes inf/inf: say inf, not NaN.
    return tf.where(tf.math.is_inf(largest), largest, norm)


def clip(gradients, settings):
    """Clips dense gradients by the one threshold that `settings` has; see the equations above."""
    n_i, n = norms(gradients)
    if settings.global_clipnorm is not None:
        c = settings.global_clipnorm
        factor = c / tf.maximum(n, c)
        clipped = [_times(g, factor) for g in gradients]
        return Clipped(clipped, n_i, n, n_i * factor, tf.minimum(n, c), n > c)
    if settings.clipnorm is not None:
        c = settings.clipnorm
        factors = tf.unstack(c / tf.maximum(n_i, c), num=len(gradients))
        clipped = [_times(g, factor) for g, factor in zip(gradients, factors, strict=True)]
        clipped_n_i = tf.minimum(n_i, c)
        return Clipped(clipped, n_i, n, clipped_n_i, tf.norm(clipped_n_i), tf.reduce_any(n_i > c))
    if settings.clipvalue is not None:
        c = settings.clipvalue
        clipped = [g if g is None else tf.clip_by_value(g, -c, c) for g in gradients]
        outside = [tf.reduce_any(tf.abs(g) > c) for g in gradients if g is not None]
        return Clipped(clipped, n_i, n, *norms(clipped), tf.reduce_any(tf.stack(outside)))
    return Clipped(gradients, n_i, n, n_i, n, tf.constant(False))


def _times(gradient, factor):
    return gradient if gradient is None else gradient * tf.cast(factor, gradient.dtype)
