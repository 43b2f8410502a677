"""Which masks of a traced graph can be written without the stock converter."""

import keras
import pytest
import tensorflow as tf
from keras import layers

from keras_vrnn.tflite.exporting.capture import masks


def found(shape, dtype, function):
    """What `find` returns for the mask that a function of one input makes; the source as a bool, whether it is x."""
    results = []

    def traced(x):
        answer = masks.find(function(x))
        results.append(None if answer is None else (answer[0] is x, *answer[1:]))
        return x

    spec = tf.TensorSpec(shape, dtype)
    tf.function(traced, input_signature=[spec], autograph=False).get_concrete_function()
    return results[-1]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_masking(value):
    mask = layers.Masking(value).compute_mask
    assert found((2, 5, 3), tf.float32, mask) == (True, value, False)


def test_tokens():
    layer = layers.Embedding(9, 4, mask_zero=True)
    assert found((2, 5), tf.int32, layer.compute_mask) == (True, 0.0, False)


def test_a_mask_in_reverse_order():
    mask = layers.Masking().compute_mask
    assert found((2, 5, 3), tf.float32, lambda x: tf.reverse(mask(x), [1])) == (True, 0.0, True)
    assert found((2, 5, 3), tf.float32, lambda x: tf.reverse(tf.reverse(mask(x), [1]), [1])) == (
        True,
        0.0,
        False,
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.reduce_any(x > 0, -1),
        lambda x: tf.reduce_any(x != 0, 1),
        lambda x: tf.reduce_any(x != x[:, :1], -1),
        lambda x: tf.reduce_any(x != [0.0, 1.0, 2.0], -1),
        lambda x: keras.ops.logical_and(x[..., 0] != 0, x[..., 1] != 0),
    ],
    ids=["another comparison", "over time", "with a value that varies", "per feature", "two comparisons"],
)
def test_other_masks_are_left_to_the_stock_part(function):
    assert found((2, 5, 3), tf.float32, function) is None
