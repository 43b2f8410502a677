"""Callbacks that read gradient norms are connected to the recorder of their model while it trains."""

import weakref

import keras
import numpy as np
import pytest
from trainings import batches, linear_model, train_recorded

import keras_vrnn as kv
from keras_vrnn.training.callbacks.reader import NormReader


def test_two_callbacks_see_the_same():
    first, second = kv.callbacks.GradientNorms(), kv.callbacks.GradientNorms(per_variable=False)
    model = linear_model()
    x, y = batches(5)
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[first, second])
    np.testing.assert_array_equal(first.norms, second.norms)


def test_norms_can_be_read_while_training_runs():
    seen = []
    norms = kv.callbacks.GradientNorms()
    at_batch_end = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(len(norms.steps))
    )
    model = linear_model()
    x, y = batches(4)
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[norms, at_batch_end])
    assert seen == [1, 2, 3, 4]


def test_a_model_can_be_collected_with_its_callback_alive():
    norms = kv.callbacks.GradientNorms()
    recorder = weakref.ref(train_recorded(norms, count=2).gradient_recorder)
    assert norms._recorder is None, "training has ended: nothing more to read"
    assert recorder() is None or not recorder().sinks


class Reader(NormReader):
    def __init__(self):
        super().__init__()
        self.steps = []

    def receive(self, rows):
        self.steps += range(rows.first_step, rows.first_step + len(rows))


def test_a_reader_moves_from_one_model_to_another():
    reader, one, two = Reader(), linear_model(), linear_model()
    x, y = batches(1)
    reader.set_model(one)
    one.train_on_batch(x, y)
    reader.set_model(two)
    one.train_on_batch(x, y)
    two.train_on_batch(x, y)
    two.train_on_batch(x, y)
    reader.on_train_end()
    two.train_on_batch(x, y)
    reader.read()
    assert reader.steps == [1, 1, 2]


# Bad input.


def test_a_stock_model_is_refused():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(
        TypeError, match=r"GradientNorms reads norms that only kv.Model .* Received: keras\S*.Sequential"
    ):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0, callbacks=[kv.callbacks.GradientNorms()])


def test_an_uncompiled_model_is_refused():
    with pytest.raises(ValueError, match=r"not compiled: call compile\(\) first"):
        kv.callbacks.GradientNorms().set_model(kv.Sequential([keras.layers.Dense(1)]))
