"""The number of batches per execution; test_stock_callbacks.py and test_stock_data.py show that it changes nothing."""

import keras
import numpy as np
import pytest
from short_epochs import DATA, Batches, EachBatch, X, model

import keras_vrnn as kv
from keras_vrnn.training.executions import batches_per_execution


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"x": X}, 4),  # 80 batches, 20 updates of the progress bar
        ({"x": {"x": X}}, 4),
        ({"x": X[:40]}, 1),
        ({"x": np.concatenate([X] * 10)}, 32),
        ({"x": X, "steps_per_epoch": 80}, 1),  # they need not end with the epoch
        ({"x": DATA}, 4),
        ({"x": DATA.repeat(), "steps_per_epoch": 100}, 5),
        ({"x": DATA.repeat(), "steps_per_epoch": 70}, 2),  # 3 does not divide it
        ({"x": DATA.repeat(), "steps_per_epoch": 67}, 1),
        ({"x": DATA, "steps_per_epoch": 60}, 1),
        ({"x": DATA.filter(lambda *_: True)}, 1),
        ({"x": Batches()}, 3),
        ({"x": Batches(), "steps_per_epoch": 60}, 1),
        ({"x": ((X[:4], X[:4, 0]) for _ in range(80)), "steps_per_epoch": 80}, 1),
        ({"x": X.tolist()}, 1),
        ({"x": None}, 1),
    ],
)
def test_the_number_follows_the_data(data, expected):
    data = {"steps_per_epoch": None, "batch_size": 4, **data}
    assert batches_per_execution(model(), None, **data) == expected


@pytest.mark.parametrize(
    ("callbacks", "expected"),
    [
        ([], 4),
        ([kv.callbacks.GradientNorms(), keras.callbacks.EarlyStopping()], 4),
        (EachBatch(), 1),
        ([[EachBatch()]], 1),
        (keras.callbacks.CallbackList([EachBatch()]), 1),
        (keras.callbacks.LambdaCallback(on_epoch_end=print), 4),
        (keras.callbacks.LambdaCallback(on_train_batch_begin=print), 1),
        (keras.callbacks.LambdaCallback(on_batch_end=print), 1),
        (keras.callbacks.ModelCheckpoint("x.keras", save_freq=3), 1),
        (keras.callbacks.ProgbarLogger(), 1),
        (object(), 1),
    ],
)
def test_a_callback_that_sees_batches_sees_each(callbacks, expected):
    assert batches_per_execution(model(), callbacks, X, 4, None) == expected


def test_a_long_step_comes_back_to_python_after_every_batch():
    assert batches_per_execution(model(kv.VanillaRNN(1500)), None, np.concatenate([X] * 10), 64, None) == 1
    assert batches_per_execution(model(run_eagerly=True), None, X, 4, None) == 1


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "many"])
def test_the_users_number_is_a_positive_integer(steps):
    with pytest.raises(ValueError, match="`steps_per_execution` must be a positive integer"):
        model(steps_per_execution=steps)
