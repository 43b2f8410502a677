"""Data of all kinds give the same updates and weights with our models as with stock Keras."""

import keras
import numpy as np
import pytest
from stock_programs import (
    BATCH,
    LABELS,
    SAMPLES,
    Batches,
    X,
    Y,
    assert_same,
    classifier,
    endless,
    finite,
    fit,
    generator,
    regressor,
    watcher,
)

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


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
def class_weights_and_sample_weights(classes, calls, folder):
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
def custom_loop_over_the_train_function(classes, calls, folder):
    model = regressor(classes)
    fit(model, X, Y)
    iterator = iter(endless())
    model.make_train_function()
    for _ in range(3):
        model.train_function(iterator)
    return model


@pytest.mark.parametrize("name", PROGRAMS)
def test_data_give_the_updates_of_keras(name, tmp_path):
    assert_same(PROGRAMS[name], tmp_path)
