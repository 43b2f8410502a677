"""Programs written for stock Keras, run with `keras` models and with ours: the same updates, calls and weights."""

import contextlib
import itertools
import types

import keras
import numpy as np
import pytest
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


PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def fit(model, *args, **kwargs):
    options = {"shuffle": False, "verbose": 0, **kwargs}
    if args[1:]:
        options = {"batch_size": BATCH, **options}
    return model.fit(*args, **options)


# Callbacks.


@program
def callback_subclass(classes, calls, folder):
    model = regressor(classes)
    fit(model, X, Y, epochs=2, validation_data=(X[:20], Y[:20]), callbacks=[watcher(calls)])
    return model


@program
def lambda_callback(classes, calls, folder):
    model = regressor(classes)
    methods = ["on_train_batch_end", "on_epoch_end"]
    fit(model, X, Y, callbacks=keras.callbacks.LambdaCallback(**{name: calls.note(name) for name in methods}))
    return model


@program
def lambda_callback_batch_begin(classes, calls, folder):
    model = regressor(classes)
    callback = keras.callbacks.LambdaCallback(on_batch_begin=calls.note("on_batch_begin"))
    fit(model, X, Y, callbacks=[callback])
    return model


@program
def lambda_callback_subclass(classes, calls, folder):
    class Own(keras.callbacks.LambdaCallback):
        def __init__(self):
            super().__init__(on_train_batch_begin=calls.note("begin"))

    model = regressor(classes)
    fit(model, X, Y, callbacks=[Own()])
    return model


@program
def method_set_on_the_instance(classes, calls, folder):
    callback = keras.callbacks.Callback()
    callback.on_train_batch_end = lambda batch, logs=None: calls.append(batch)
    model = regressor(classes)
    fit(model, X, Y, callbacks=[callback])
    return model


@program
def validation_batches_in_fit(classes, calls, folder):
    model = regressor(classes)
    callback = keras.callbacks.LambdaCallback(
        on_test_batch_begin=calls.note("begin"), on_test_batch_end=calls.note("end")
    )
    fit(model, X, Y, epochs=2, validation_split=0.25, callbacks=[callback])
    return model


@program
def callback_list(classes, calls, folder):
    model = regressor(classes)
    callbacks = keras.callbacks.CallbackList(
        [watcher(calls)], add_history=True, model=model, epochs=2, steps=80
    )
    fit(model, X, Y, epochs=2, callbacks=callbacks)
    return model


@program
def progress_bar_of_ones_own(classes, calls, folder):
    class Bar(keras.callbacks.ProgbarLogger):
        def on_train_batch_end(self, batch, logs=None):
            calls.append(batch)

    model = regressor(classes)
    fit(model, X, Y, callbacks=[Bar()])
    return model


@program
def stop_in_the_middle_of_an_epoch(classes, calls, folder):
    model = regressor(classes)

    def stop(batch, logs):
        model.stop_training = batch == 12

    fit(model, X, Y, epochs=3, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=stop)])
    return model


@program
def checkpoint_every_few_batches(classes, calls, folder):
    model = regressor(classes)
    path = str(folder / "at_{batch:03d}.weights.h5")
    callback = keras.callbacks.ModelCheckpoint(path, save_freq=7, save_weights_only=True)
    fit(model, X, Y, callbacks=[callback])
    calls += sorted(file.name for file in folder.iterdir())
    return model


@program
def early_stopping(classes, calls, folder):
    model = regressor(classes)
    callback = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=10.0, restore_best_weights=True)
    history = fit(model, X, Y, epochs=5, callbacks=[callback])
    calls += history.epoch
    return model


@program
def backup_and_restore(classes, calls, folder):
    def train(epochs, *callbacks):
        model = regressor(classes)
        backup = keras.callbacks.BackupAndRestore(
            str(folder / "backup"), save_freq=9, delete_checkpoint=False
        )
        with contextlib.suppress(KeyboardInterrupt):
            fit(
                model,
                X,
                Y,
                epochs=epochs,
                callbacks=[backup, watcher(calls, ["on_epoch_begin"]), *callbacks],
            )
        return model

    def interrupt(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    train(3, keras.callbacks.LambdaCallback(on_epoch_end=interrupt))
    return train(3)


@program
def schedules_and_loggers(classes, calls, folder):
    model = regressor(classes)
    callbacks = [
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
        keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=10.0),
        keras.callbacks.TerminateOnNaN(),
    ]
    fit(model, X, Y, epochs=3, callbacks=callbacks)
    calls.append(round(float(model.optimizer.learning_rate), 9))
    calls.append(len((folder / "log.csv").read_text().splitlines()))
    return model


@program
def model_used_in_a_callback(classes, calls, folder):
    model = regressor(classes)

    def look(epoch, logs):
        inner = watcher(calls, ["on_test_batch_end", "on_predict_batch_end"])
        model.evaluate(endless(), steps=7, verbose=0, callbacks=[inner])
        calls.append(model.predict(endless(), steps=7, verbose=0, callbacks=[inner]).shape)
        model.train_on_batch(X[:2], Y[:2])

    fit(model, X, Y, epochs=2, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)])
    return model


# Data.


@program
def endless_data(classes, calls, folder):
    model = regressor(classes)
    fit(model, endless(), steps_per_epoch=70, epochs=3)
    return model


class Count(keras.metrics.Sum):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(keras.ops.ones_like(y_true[:, 0]))


@program
def endless_validation(classes, calls, folder):
    model = regressor(classes, metrics=[Count(name="count")])
    history = fit(model, X, Y, epochs=2, validation_data=endless(), validation_steps=10)
    calls += history.history["val_count"]
    return model


@program
def python_generator(classes, calls, folder):
    model = regressor(classes)
    fit(model, generator(), steps_per_epoch=70, epochs=2, validation_data=generator(), validation_steps=7)
    return model


@program
def generator_that_ends(classes, calls, folder):
    model = regressor(classes)
    with pytest.warns(UserWarning, match="ran out of data"):
        fit(model, generator(repeat=False))
    return model


@program
def py_dataset(classes, calls, folder):
    data, model = Batches(), regressor(classes)
    fit(model, data, epochs=2)
    calls.append(data.ended)
    return model


@program
def steps_that_do_not_divide(classes, calls, folder):
    model = regressor(classes)
    fit(model, finite().repeat(), steps_per_epoch=67, epochs=2)
    return model


@program
def fewer_steps_than_batches(classes, calls, folder):
    model = regressor(classes)
    fit(model, X, Y, steps_per_epoch=21, epochs=3)
    fit(model, finite(), steps_per_epoch=23, epochs=3)
    return model


@program
def data_that_runs_out(classes, calls, folder):
    model = regressor(classes)
    with pytest.warns(UserWarning, match="ran out of data"):
        fit(model, finite(), steps_per_epoch=70, epochs=2)
    return model


@program
def initial_epoch(classes, calls, folder):
    model = regressor(classes)
    fit(model, X, Y, initial_epoch=2, epochs=4, callbacks=[watcher(calls, ["on_epoch_begin"])])
    return model


@program
def weights_of_classes_and_samples(classes, calls, folder):
    model = classifier(classes, weighted_metrics=["accuracy"])
    fit(model, X, LABELS, class_weight={0: 1.0, 1: 3.0, 2: 0.5})
    fit(model, X, LABELS, sample_weight=np.linspace(0, 2, SAMPLES))
    return model


@program
def last_batch_of_another_size(classes, calls, folder):
    model = regressor(classes)
    history = fit(model, X[:151], Y[:151], epochs=2)
    calls += np.round(history.history["loss"], 5).tolist()
    return model


@program
def train_on_batches(classes, calls, folder):
    model = regressor(classes)
    for size in (2, 3, 5):
        calls.append(round(float(model.train_on_batch(X[:size], Y[:size])), 5))
    fit(model, X, Y)
    calls.append(round(float(model.train_on_batch(X[:4], Y[:4])), 5))
    return model


# Evaluation and prediction after training.


@program
def evaluate_and_predict_after_fit(classes, calls, folder):
    model = regressor(classes)
    fit(model, X, Y)
    watch = watcher(calls)
    calls.append(round(float(model.evaluate(endless(), steps=10, verbose=0, callbacks=[watch])), 5))
    calls.append(model.predict(X, batch_size=BATCH, verbose=0, callbacks=[watch]).shape)
    calls.append(model.predict(endless(), steps=11, verbose=0).shape)
    calls.append(model.evaluate(X, Y, batch_size=BATCH, verbose=0, callbacks=watch) > 0)
    return model


@program
def loop_of_ones_own_over_the_train_function(classes, calls, folder):
    model = regressor(classes)
    fit(model, X, Y)
    iterator = iter(endless())
    model.make_train_function()
    for _ in range(3):
        model.train_function(iterator)
    return model


# What XLA cannot compile, or compiles to something else.


@program
def py_function_in_a_lambda(classes, calls, folder):
    def look(h):
        def note(value):
            calls.append(value.shape[0])
            return value

        seen = tf.py_function(note, [h], tf.float32)
        seen.set_shape(h.shape)
        return h + 0.0 * tf.stop_gradient(seen)

    head = [keras.layers.Lambda(look, output_shape=(4,)), keras.layers.Dense(1)]
    model = regressor(classes, head=head)
    fit(model, X, Y, validation_split=0.5)
    return model


@program
def print_in_a_loss(classes, calls, folder):
    def loss(y, p):
        tf.print("loss", output_stream=f"file://{folder / 'printed'}")
        return tf.reduce_mean((y - p) ** 2, axis=-1)

    model = regressor(classes, loss=loss)
    fit(model, X, Y)
    calls.append(len((folder / "printed").read_text().splitlines()))
    return model


@program
def numpy_function_in_a_metric(classes, calls, folder):
    def metric(y, p):
        error = tf.numpy_function(lambda a, b: np.abs(a - b).mean(axis=-1), [y, p], tf.float32)
        return tf.ensure_shape(error, [None])

    model = regressor(classes, metrics=[metric])
    history = fit(model, X, Y)
    calls += np.round(history.history["metric"], 4).tolist()
    return model


@program
def assertion_in_a_loss(classes, calls, folder):
    def loss(y, p):
        # XLA would leave the assertion out.
        with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_max(y), 2.0)]):
            return tf.reduce_mean((y - p) ** 2, axis=-1)

    model = regressor(classes, loss=loss)
    targets = Y.copy()
    targets[50] = 3.0
    with pytest.raises(tf.errors.InvalidArgumentError, match="assertion failed"):
        fit(model, X, targets)


@program
def loop_of_unknown_length_in_a_loss(classes, calls, folder):
    # Its gradient needs a list whose length XLA does not know.
    @tf.function
    def loss(y, p):
        i, total = tf.constant(0), p - y
        while tf.reduce_sum(tf.abs(tf.stop_gradient(total))) > 0.5 and i < 20:
            total, i = total * 0.9 - 0.1 * tf.sin(total), i + 1
        return tf.reduce_mean(total**2, axis=-1)

    model = regressor(classes, loss=loss)
    fit(model, X, Y)
    return model


@program
def dropout(classes, calls, folder):
    model = regressor(classes, recurrent=kv.VanillaRNN(4, dropout=0.3, recurrent_dropout=0.2, seed=3))
    fit(model, X, Y, epochs=2)
    return model


@program
def noise_in_a_loss(classes, calls, folder):
    def loss(y, p):
        return keras.ops.mean((y - p) ** 2, axis=-1) * keras.random.uniform((), 0, 2, seed=4)

    model = regressor(classes, loss=loss)
    fit(model, X, Y)
    return model


@program
def labels_out_of_range(classes, calls, folder):
    model = classifier(classes)
    labels = LABELS.copy()
    labels[90] = 3
    with pytest.raises(Exception, match="label value of 3"):
        fit(model, X, labels)


@program
def tokens_out_of_range(classes, calls, folder):
    model = embedder(classes, 9, "adam")
    tokens = np.random.default_rng(3).integers(0, 9, (SAMPLES, 5))
    tokens[90, 2] = 9
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 9 is not in \[0, 9\)"):
        fit(model, tokens, Y)


# Losses, metrics, models of one's own.


@program
def embeddings_with_repeated_tokens(classes, calls, folder):
    model = embedder(classes, 4, keras.optimizers.Adam(0.01))
    fit(model, np.random.default_rng(3).integers(0, 4, (SAMPLES, 5)), Y)
    return model


@program
def embeddings_and_plain_adagrad(classes, calls, folder):
    model = embedder(classes, 4, keras.optimizers.Adagrad(0.01), mask_zero=True)
    fit(model, np.random.default_rng(3).integers(0, 4, (SAMPLES, 5)), Y)
    return model


@program
def accumulated_gradients(classes, calls, folder):
    model = regressor(classes, optimizer=keras.optimizers.Adam(0.01, gradient_accumulation_steps=3))
    fit(model, X, Y)
    return model


@program
def own_compute_loss_and_metrics(classes, calls, folder):
    class Own(classes.Sequential):
        def __init__(self, layers):
            super().__init__(layers)
            self.seen = keras.metrics.Sum(name="seen")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return super().compute_loss(x, y, y_pred, sample_weight) + 0.1 * keras.ops.mean(y_pred**2)

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            self.seen.update_state(keras.ops.ones_like(y))
            return {**super().compute_metrics(x, y, y_pred, sample_weight), "seen": self.seen.result()}

    model = Own([keras.Input((5, 3)), kv.VanillaRNN(4), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    calls.append(fit(model, X, Y).history["seen"])
    return model


@program
def several_outputs(classes, calls, folder):
    inputs = keras.Input((5, 3), name="x")
    h = kv.VanillaRNN(4, kernel_regularizer="l2")(inputs)
    outputs = {"a": keras.layers.Dense(1, name="a")(h), "b": keras.layers.Dense(3, name="b")(h)}
    model = classes.Model({"x": inputs}, outputs)
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        "adam", {"a": "mse", "b": sparse}, loss_weights={"a": 2.0, "b": 0.5}, metrics={"b": "accuracy"}
    )
    model.fit({"x": X}, {"a": Y, "b": LABELS}, batch_size=BATCH, shuffle=False, verbose=0)
    calls.append(sorted(model.evaluate({"x": X}, {"a": Y, "b": LABELS}, verbose=0, return_dict=True)))
    return model


@program
def run_eagerly(classes, calls, folder):
    model = regressor(classes, run_eagerly=True)
    fit(model, X[:20], Y[:20])
    return model


def observe(name, classes, folder):
    keras.utils.set_random_seed(7)
    calls = Calls()
    folder.mkdir()
    model = PROGRAMS[name](classes, calls, folder)
    if (
        model is None
    ):  # an error has ended it, which TensorFlow's operations beside the failing one need not notice
        return calls, 0, []
    # Where a generator ends, stock Keras counts one update too many: its counter does not wait for the missing batch.
    updates = None if name == "generator_that_ends" else int(model.optimizer.iterations)
    return calls, updates, model.get_weights()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_stock_program_does_the_same_with_our_models(name, tmp_path):
    calls, updates, weights = observe(name, STOCK, tmp_path / "stock")
    our_calls, our_updates, our_weights = observe(name, OURS, tmp_path / "ours")
    assert our_calls == calls
    assert our_updates == updates
    for ours, stock in zip(our_weights, weights, strict=True):
        # XLA sums float32 in another order; Adam makes up to 240 updates of 0.01 from that.
        np.testing.assert_allclose(ours, stock, rtol=1e-3, atol=1e-4)
