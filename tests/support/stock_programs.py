"""Programs written for stock Keras are run with its models and with ours, and compared."""

import itertools
import types

import keras
import numpy as np
import tensorflow as tf

import keras_vrnn as kv

# 80 batches of 2: enough for `fit` to run several in one execution where it may.
SAMPLES, BATCH = 160, 2
X = np.random.default_rng(0).normal(size=(SAMPLES, 5, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(SAMPLES, 1)).astype("float32")
LABELS = np.random.default_rng(2).integers(0, 3, SAMPLES)

STOCK = types.SimpleNamespace(Model=keras.Model, Sequential=keras.Sequential)
OURS = types.SimpleNamespace(Model=kv.Model, Sequential=kv.Sequential)


def regressor(classes, *, head=None, loss="mse", optimizer=None, dtype=None, recurrent=None, **compile_args):
    recurrent = recurrent or kv.VanillaRNN(4, dtype=dtype)
    head = [keras.layers.Dense(1, dtype=dtype)] if head is None else head
    model = classes.Sequential([keras.Input((5, 3)), recurrent, *head])
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss, **compile_args)
    return model


def classifier(classes, **compile_args):
    head = [keras.layers.Dense(3, activation="softmax")]
    return regressor(classes, head=head, loss="sparse_categorical_crossentropy", **compile_args)


def embedder(classes, tokens, optimizer, **embedding):
    layers = [keras.layers.Embedding(tokens, 3, **embedding), kv.VanillaRNN(4), keras.layers.Dense(1)]
    model = classes.Sequential([keras.Input((5,), dtype="int32"), *layers])
    model.compile(optimizer, "mse")
    return model


class Calls(list):
    """Which callback method was called with which number."""

    def note(self, name):
        return lambda *args, **kwargs: self.append(
            (name, args[0] if args and isinstance(args[0], int) else None)
        )


BATCH_METHODS = [
    f"on_{part}batch_{edge}" for part in ("", "train_", "test_", "predict_") for edge in ("begin", "end")
]
METHODS = BATCH_METHODS + [f"on_epoch_{edge}" for edge in ("begin", "end")]
METHODS += [f"on_{part}_{edge}" for part in ("train", "test", "predict") for edge in ("begin", "end")]


def watcher(calls, methods=METHODS):
    """A Callback subclass of the user's that overrides these methods."""
    body = {
        name: (lambda note: lambda self, *args, **kwargs: note(*args))(calls.note(name)) for name in methods
    }
    return type("Watcher", (keras.callbacks.Callback,), body)()


def endless(x=X, y=Y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).repeat()


def finite(x=X, y=Y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)


def generator(x=X, y=Y, *, repeat=True):
    places = range(0, len(x), BATCH)
    for start in itertools.cycle(places) if repeat else places:
        yield x[start : start + BATCH], y[start : start + BATCH]


class Batches(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()
        self.ended = 0

    def __len__(self):
        return 70

    def __getitem__(self, i):
        return X[i * BATCH : (i + 1) * BATCH], Y[i * BATCH : (i + 1) * BATCH]

    def on_epoch_end(self):
        self.ended += 1


def fit(model, *args, **kwargs):
    options = {"shuffle": False, "verbose": 0, **kwargs}
    if args[1:]:
        options = {"batch_size": BATCH, **options}
    return model.fit(*args, **options)


def observe(program, classes, folder):
    keras.utils.set_random_seed(7)
    calls = Calls()
    folder.mkdir()
    model = program(classes, calls, folder)
    if (
        model is None
    ):  # an error ended it, and TensorFlow's other operations do not wait for the one that fails
        return calls, 0, []
    return calls, int(model.optimizer.iterations), model.get_weights()


def assert_same(program, folder):
    """Asserts that a program makes the same calls, updates and weights with both.

    Args:
        program: (classes, calls, folder) → model; it makes models of `classes`, appends to `calls` and may write files.
        folder: A folder for files.
    """
    calls, updates, weights = observe(program, STOCK, folder / "stock")
    our_calls, our_updates, our_weights = observe(program, OURS, folder / "ours")
    assert our_calls == calls
    # Where a generator ends, stock Keras counts one update too many: its counter does not wait for the missing batch.
    assert our_updates == updates or program.__name__ == "generator_that_ends"
    for ours, stock in zip(our_weights, weights, strict=True):
        # XLA sums float32 in another order; Adam makes up to 240 updates of 0.01 from that.
        np.testing.assert_allclose(ours, stock, rtol=1e-3, atol=1e-4)
