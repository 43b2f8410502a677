"""Pruned weights have no gradient, and stay zero."""

import keras
import numpy as np
from keras import layers as kl
from small_recurrent_models import half, small_model, trained, weight

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.training.pruned import masked, settle


def test_gradients_of_pruned_weights_count_for_no_norm():
    """Clipping by a norm measures what moves the weights."""
    model = kv.Sequential([keras.Input((4,)), kl.Dense(1, use_bias=False, kernel_initializer="ones")])
    pruned = compression.prune(model, half)
    pruned.compile(keras.optimizers.SGD(1.0), lambda y, p: keras.ops.mean(p), global_clipnorm=1.0)
    norms = kv.callbacks.GradientNorms()
    x = np.ones((2, 4), "float32")
    pruned.fit(x, x[:, :1], batch_size=1, verbose=0, callbacks=[norms], shuffle=False)
    # Four entries of 1, then the two that are left.
    np.testing.assert_allclose(norms.norms, [2.0, np.sqrt(2.0)], rtol=1e-6)


def test_masked_and_settle_touch_only_pruned_weights():
    pruned = trained(compression.prune(small_model(), half, weights=["recurrent_kernel"]))
    variable = weight(pruned, "recurrent_kernel")
    kept = np.array(variable.constraint.pruning_mask)
    assert kept.sum() == 18
    ones = keras.ops.ones((6, 6))
    np.testing.assert_array_equal(masked(ones, variable), kept)
    head = weight(pruned, "head/kernel")
    gradient = keras.ops.ones((6, 2))
    assert masked(gradient, head) is gradient
    variable.assign(ones)
    head.assign(gradient)
    settle(pruned.trainable_variables)
    np.testing.assert_array_equal(variable, kept)
    np.testing.assert_array_equal(head, gradient)
