"""The rows of an epoch come in the order and with the types of Keras' own pipeline, each once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vrnn import _keras_private
from keras_vrnn.training.epoch_data import EpochData
from keras_vrnn.training.epoch_plan import Plan

ROWS, BATCH = 23, 4
X = {"a": np.arange(ROWS * 2, dtype="float64").reshape(ROWS, 2), "b": np.arange(ROWS)}
Y = np.arange(ROWS) % 3


def epochs_of_keras(shuffle, epochs, **weights):
    _, arrays = _keras_private.data_adapters()
    dataset = arrays(X, Y, batch_size=BATCH, shuffle=shuffle, **weights).get_tf_dataset()
    return [list(dataset) for _ in range(epochs)]


def epochs_of_ours(shuffle, epochs, sample_weight=None, class_weight=None, per_window=2):
    data = EpochData(Plan((X, Y, sample_weight), None, BATCH, per_window), class_weight, shuffle)
    assert data.num_batches == 6
    return [[batch for window in data for batch in batches(window)] for _ in range(epochs)]


def batches(window):
    for i in range(window.first, window.first + window.count):
        yield tf.nest.map_structure(lambda leaf, i=i: leaf[i * BATCH : (i + 1) * BATCH], window.rows)
    if window.last is not None:
        yield window.last


@pytest.mark.parametrize("per_window", [1, 2, 4])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_those_of_keras(shuffle, per_window):
    weights = {"class_weight": {0: 2.0, 1: 0.5}} if shuffle else {"sample_weight": np.linspace(0, 1, ROWS)}
    keras.utils.set_random_seed(11)
    theirs = epochs_of_keras(shuffle, 2, **weights)
    ours = epochs_of_ours(shuffle, 2, per_window=per_window, **weights)
    for their_epoch, our_epoch in zip(theirs, ours, strict=True):
        for their_batch, our_batch in zip(their_epoch, our_epoch, strict=True):
            tf.nest.assert_same_structure(their_batch, our_batch)
            for theirs_leaf, ours_leaf in zip(
                tf.nest.flatten(their_batch), tf.nest.flatten(our_batch), strict=True
            ):
                assert theirs_leaf.dtype == ours_leaf.dtype
                np.testing.assert_array_equal(theirs_leaf, ours_leaf)


def test_another_seed_gives_another_order():
    orders = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        (epoch,) = epochs_of_ours(True, 1)
        orders.append(np.concatenate([x["b"] for x, _ in epoch]))
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(ROWS))
    assert (orders[0] != orders[1]).any()


def test_without_a_seed_every_epoch_has_its_own_order():
    tf.random.set_seed(None)
    orders = [np.concatenate([x["b"] for x, _ in epoch]) for epoch in epochs_of_ours(True, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(ROWS))
    assert (orders[0] != orders[1]).any()
