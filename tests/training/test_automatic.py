"""The automatic choices hold while `fit` trains, and nowhere else."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv

# Where the native kernel serves, `fit` runs it, without XLA.
pytestmark = pytest.mark.usefixtures("native_off")

X = np.random.default_rng(0).normal(size=(320, 6, 3)).astype("float32")


def model(layer=None, **options):
    made = kv.Sequential([keras.Input((6, 3)), layer or kv.VanillaRNN(4), keras.layers.Dense(3)])
    made.compile("sgd", "mse", **options)
    return made


@pytest.mark.parametrize("steps", [1, 3])
def test_the_users_number_is_kept(steps):
    seen = []
    made = model(steps_per_execution=steps)
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(made.steps_per_execution))
    made.fit(X, X[:, 0], batch_size=4, verbose=0, callbacks=[note])
    assert seen == [steps]
    assert made.steps_per_execution == steps


def look_within(made, use, epochs=1):
    """What `use` returns at the end of each epoch of a training."""
    seen = []
    made.fit(
        X,
        X[:, 0],
        batch_size=4,
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(use()))],
    )
    return seen


def choices(made):
    return made.steps_per_execution, made.jit_compile


def test_they_hold_while_fit_runs():
    made = model()
    assert look_within(made, lambda: choices(made), epochs=2) == [(64, True)] * 2
    assert choices(made) == (1, False)


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_a_callback_uses_the_model_as_it_was_compiled(name):
    made, seen = model(), []
    note = lambda *_: seen.append(choices(made))  # noqa: E731
    callback = keras.callbacks.LambdaCallback(on_test_begin=note, on_predict_begin=note)
    data = {"evaluate": (X[:8], X[:8, 0]), "predict": (X[:8],)}[name]

    def use():
        getattr(made, name)(*data, verbose=0, callbacks=[callback])
        return choices(made)

    if name == "predict":
        callback.on_predict_begin = note
    assert look_within(made, use) == [(64, True)]
    assert seen == [(1, False)]


def test_a_callback_trains_on_one_batch_at_a_time():
    made = model()

    def use():
        before = int(made.optimizer.iterations)
        made.train_on_batch(X[:4], X[:4, 0])
        return int(made.optimizer.iterations) - before, choices(made)

    assert look_within(made, use, epochs=2) == [(1, (64, True))] * 2
    assert int(made.optimizer.iterations) == 162


def test_an_error_in_fit_ends_them():
    made = model()

    def use():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        look_within(made, use)
    assert choices(made) == (1, False)


def test_the_second_fit_traces_nothing_and_compile_begins_anew():
    traces = []

    def loss(y, p):
        traces.append(p)
        return keras.ops.mean(keras.ops.square(y - p), axis=-1)

    made = model(layer=keras.layers.Flatten())
    lengths = []
    for _ in range(2):
        made.compile("sgd", loss)
        for _ in range(2):
            made.fit(X, X[:, 0], batch_size=4, verbose=0)
            lengths.append(len(traces))
    assert 0 < lengths[0] == lengths[1] < lengths[2] == lengths[3]
