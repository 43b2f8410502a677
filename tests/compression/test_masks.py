"""A mask holds the smallest weights of a kernel at zero."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import half, small_model, trained

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.compression.pruning import masks_of, sparsities


def test_the_smallest_weights_go_as_many_as_the_sparsity_says_also_among_equals():
    model = small_model()
    pruned = compression.prune(model, half, layers=["rnn"], weights=["recurrent_kernel"])
    recurrent = next(w for w in pruned.weights if w.path.endswith("recurrent_kernel"))
    for value in (np.random.default_rng(3).normal(size=(6, 6)), np.ones((6, 6)), np.eye(6)):
        mask = masks_of(compression.prune(model, half))["rnn/vanilla_rnn_cell/recurrent_kernel"]
        result = np.array(mask(keras.ops.convert_to_tensor(value.astype("float32"))))
        kept = np.array(mask.pruning_mask)
        assert np.sum(~kept) == 18
        assert np.abs(value)[~kept].max() <= np.abs(value)[kept].min()
        np.testing.assert_array_equal(result, np.where(kept, value.astype("float32"), 0))
    assert recurrent.constraint is not None
    assert list(masks_of(pruned)) == ["rnn/vanilla_rnn_cell/recurrent_kernel"]


def test_a_pruned_weight_stays_pruned_when_the_schedule_asks_for_less():
    def falling(step):
        return True, 0.5 - 0.1 * float(step) if isinstance(step, int) else 0.5 / (1.0 + step_of(step))

    def step_of(step):
        import tensorflow as tf

        return tf.cast(step, tf.float32)

    pruned = compression.prune(small_model(), falling)
    trained(pruned)
    assert set(sparsities(pruned).values()) == {0.5}


def test_weights_that_start_at_zero_are_not_taken_for_pruned():
    layer = kv.VanillaRNN(6, recurrent_initializer="identity", name="rnn")
    model = kv.Sequential([keras.Input((6, 3)), layer, kl.Dense(2, name="head")])
    pruned = trained(compression.prune(model, lambda step: (step > 100, 0.5)))
    assert set(sparsities(pruned).values()) == {0.0}


def test_another_constraint_is_kept_and_comes_first():
    layer = kv.VanillaRNN(6, kernel_constraint=keras.constraints.MaxNorm(0.5), name="rnn")
    model = kv.Sequential([keras.Input((6, 3)), layer, kl.Dense(2)])
    pruned = trained(compression.prune(model, half), keras.optimizers.SGD(0.5))
    kernel = np.array(next(w for w in pruned.weights if w.path.endswith("rnn_cell/kernel")))
    assert np.mean(kernel == 0) == 0.5
    assert np.linalg.norm(kernel, axis=0).max() <= 0.5 * (1 + 1e-6)  # float32 rounding
    stripped = compression.strip_pruning(pruned)
    assert isinstance(stripped.get_layer("rnn").kernel_constraint, keras.constraints.MaxNorm)


def test_a_weight_file_of_another_shape_is_refused():
    mask = next(iter(masks_of(compression.prune(small_model(), half)).values()))
    with pytest.raises(ValueError, match="pruning mask in the file has 800 bits"):
        mask.load_own_variables({"mask": np.zeros(100, np.uint8), "step": 0})
