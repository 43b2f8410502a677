"""Losses, layers and optimizers of all kinds train our models as they train stock Keras models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from stock_programs import (
    BATCH,
    LABELS,
    SAMPLES,
    X,
    Y,
    assert_same,
    classifier,
    embedder,
    fit,
    regressor,
)

import keras_vrnn as kv

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


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
def custom_compute_loss_and_metrics(classes, calls, folder):
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


@pytest.mark.parametrize("name", PROGRAMS)
def test_steps_do_what_they_do_in_keras(name, tmp_path):
    assert_same(PROGRAMS[name], tmp_path)
