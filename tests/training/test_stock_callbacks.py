"""Callbacks written for stock Keras get the same calls from our models, and training gives the same weights."""

import contextlib

import keras
import pytest
from stock_programs import (
    X,
    Y,
    assert_same,
    endless,
    fit,
    regressor,
    watcher,
)

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


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
def custom_progress_bar(classes, calls, folder):
    class Bar(keras.callbacks.ProgbarLogger):
        def on_train_batch_end(self, batch, logs=None):
            calls.append(batch)

    model = regressor(classes)
    fit(model, X, Y, callbacks=[Bar()])
    return model


@program
def stop_within_an_epoch(classes, calls, folder):
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


@pytest.mark.parametrize("name", PROGRAMS)
def test_callbacks_see_what_they_see_in_keras(name, tmp_path):
    assert_same(PROGRAMS[name], tmp_path)
