"""Norms of gradients and clipping, as equations (TensorFlow).

    n_i = ‖g_i‖₂                    norm of the gradient of variable i
    n   = √(Σ_i n_i²)               global norm, over all variables

    clipnorm=c          g_i ← g_i · c / max(n_i, c)         Pascanu et al. 2013, section 3.2, per variable
    global_clipnorm=c   g_i ← g_i · c / max(n, c)           the same over all variables together
    clipvalue=c         g_i ← min(max(g_i, −c), c)          elementwise

A gradient within its bound stays the same to the last bit, since c / max(n, c) is then exactly 1.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Clipped:
    """Gradients after clipping, with the norms of both sides.

    Attributes:
        gradients: List of tensors, None where a variable has no gradient.
        norms: n_i before clipping, shape (variables,); 0 for no gradient.
        global_norm: n before clipping, a scalar.
        clipped_norms, clipped_global_norm: The same after clipping.
        changed: Scalar bool, whether clipping changed anything.
        shrink: Function that clips parts of the same gradients, such as the rows of an embedding, by the same factors.
    """

    gradients: list
    norms: Any
    global_norm: Any
    clipped_norms: Any
    clipped_global_norm: Any
    changed: Any
    shrink: Callable[[list], list]


def densify(gradient):
    """Sums the rows of an embedding's gradient that belong to the same id.

    A token that occurs k times gives k rows of `IndexedSlices`. Their sum moves the weights, so its norm counts.
    """
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])
    return gradient


def norms(gradients):
    """Returns n_i of every gradient, shape (variables,), and the global n, as float32.

    Squares are summed in float64, where the square of a float32 neither overflows nor vanishes: an exploding gradient
    of 1e25 is finite, but its square is not a finite float32.
    """
    # l2_loss = Σg²/2 is one kernel; square and sum are two.
    halves = [0.0 if g is None else tf.nn.l2_loss(tf.cast(g, tf.float64)) for g in gradients]
    squares = 2.0 * tf.stack([tf.cast(half, tf.float64) for half in halves])
    return tf.cast(tf.sqrt(squares), tf.float32), tf.cast(tf.sqrt(tf.reduce_sum(squares)), tf.float32)


def clip(gradients, settings):
    """Clips dense gradients by the threshold in `settings`; see the equations above."""
    n_i, n = norms(gradients)
    if settings.global_clipnorm is not None:
        c = _at_most(settings.global_clipnorm)
        factor = c / tf.maximum(n, c)

        def shrink(gradients):
            return [times(g, factor) for g in gradients]

        return Clipped(shrink(gradients), n_i, n, n_i * factor, tf.minimum(n, c), n > c, shrink)
    if settings.clipnorm is not None:
        c = _at_most(settings.clipnorm)
        factors = tf.unstack(c / tf.maximum(n_i, c), num=len(gradients))

        def shrink(gradients):
            return [times(g, factor) for g, factor in zip(gradients, factors, strict=True)]

        clipped_n_i = tf.minimum(n_i, c)
        norm = tf.norm(clipped_n_i)
        return Clipped(shrink(gradients), n_i, n, clipped_n_i, norm, tf.reduce_any(n_i > c), shrink)
    if settings.clipvalue is not None:
        c = settings.clipvalue

        def shrink(gradients):
            return [_map(lambda t: tf.clip_by_value(t, -c, c), g) for g in gradients]

        clipped = shrink(gradients)
        outside = [tf.reduce_any(tf.abs(g) > c) for g in gradients if g is not None]
        return Clipped(clipped, n_i, n, *norms(clipped), tf.reduce_any(tf.stack(outside)), shrink)
    return Clipped(gradients, n_i, n, n_i, n, tf.constant(False), lambda gradients: gradients)


def _at_most(threshold):
    """The largest float32 that does not exceed the threshold, so that no clipped norm does."""
    c = np.float32(threshold)
    return c if float(c) <= threshold else np.nextafter(c, np.float32(0))


def times(gradient, factor):
    """Multiplies a gradient by a scalar in the gradient's own type; None stays None."""
    if isinstance(factor, float) and factor == 1.0:
        return gradient
    return _map(lambda tensor: tensor * tf.cast(factor, tensor.dtype), gradient)


def _map(function, gradient):
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(function(gradient.values), gradient.indices, gradient.dense_shape)
    return gradient if gradient is None else function(gradient)
