"""Where `fit` tries XLA, and how it goes on where XLA refuses; test_stock_steps.py compares the results."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_vrnn as kv
from keras_vrnn.training import xla

# Where the native kernel serves, `fit` runs it, without XLA.
pytestmark = pytest.mark.usefixtures("native_off")

X = np.random.default_rng(0).normal(size=(320, 6, 3)).astype("float32")
Y = np.random.default_rng(1).integers(0, 2, 320)


def model(timesteps=6, layer=None, loss="sparse_categorical_crossentropy", **options):
    keras.utils.set_random_seed(1)
    made = kv.Sequential(
        [keras.Input((timesteps, 3)), layer or kv.VanillaRNN(4), keras.layers.Dense(2, "softmax")]
    )
    made.compile(keras.optimizers.SGD(0.1), loss, **options)
    return made


@keras.saving.register_keras_serializable("test_xla")
class OwnLayer(keras.layers.Layer):
    def call(self, x):
        return x[:, -1]


def compiled_in_fit(made, x=X, y=Y):
    """Whether XLA compiles the steps of `fit`."""
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(made.jit_compile))
    made.fit(x, y, batch_size=16, verbose=0, callbacks=[callback])
    return seen[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"jit_compile": False}, False),
        ({"jit_compile": True}, True),
        ({"run_eagerly": True}, False),
        ({"timesteps": None}, False),  # XLA would compile anew for every length
        ({"layer": keras.layers.Flatten()}, False),  # no loop to gain from
        ({"layer": OwnLayer()}, False),  # it may rely on an error that XLA drops
        ({"layer": kv.VanillaRNN(4, dropout=0.5)}, False),  # other random numbers
    ],
)
def test_xla_is_tried_where_it_helps(options, expected):
    made = model(**options)
    assert compiled_in_fit(made) is expected
    assert made.jit_compile is options.get("jit_compile", False), (
        "outside fit, the model is as it was compiled"
    )


def test_a_train_step_of_the_users_runs_without_xla():
    made = model()
    step = made.train_step
    made.train_step = lambda data: step(data)
    assert compiled_in_fit(made) is False


def test_the_choice_changes_neither_weights_nor_norms():
    runs = []
    for options in ({}, {"jit_compile": False, "steps_per_execution": 1}):
        made, norms = model(**options), kv.callbacks.GradientNorms()
        # 107 batches of 3, the last of 2: a prime number, and a last batch of another size.
        history = made.fit(X, Y, batch_size=3, epochs=2, verbose=0, callbacks=[norms])
        runs.append((made.get_weights(), norms.norms, history.history))
    (weights, norms, history), (plain_weights, plain_norms, plain_history) = runs
    assert len(norms) == 214
    # float32 sums in another order, over 214 steps.
    for chosen, plain in zip(weights, plain_weights, strict=True):
        np.testing.assert_allclose(chosen, plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norms, plain_norms, rtol=1e-3)
    for name in plain_history:
        np.testing.assert_allclose(history[name], plain_history[name], rtol=1e-3, err_msg=name)


def test_a_step_that_xla_refuses_runs_without_it_and_logs_one_line(caplog):
    def loss(y, p):
        # Strings are not for XLA, and not in the list of what is known to run otherwise.
        return tf.reduce_mean(p, axis=-1) * tf.strings.to_number(
            tf.strings.as_string(tf.constant(2.0) + p[0, 0] * 0)
        )

    made = model(loss=loss)
    with caplog.at_level(logging.WARNING, "keras_vrnn"):
        assert compiled_in_fit(made) is False
        made.fit(X, Y, batch_size=16, verbose=0)
    assert int(made.optimizer.iterations) == 40
    (record,) = caplog.records
    assert "`fit` runs without XLA, which refused the step" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_an_error_of_the_program_is_its_own(caplog):
    def loss(y, p):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model(loss=loss).fit(X, Y, verbose=0)
    assert not caplog.records


def test_an_index_out_of_range_makes_no_update():
    made = model()
    labels = Y.copy()
    labels[100] = 7
    norms = kv.callbacks.GradientNorms()
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"label value of 7 .* \[0, 2\).*The update was not made"
    ):
        made.fit(X, labels, batch_size=10, shuffle=False, verbose=0, callbacks=[norms])
    assert int(made.optimizer.iterations) == 10
    made.fit(X, Y, verbose=0)  # and the next training is free of it
    assert np.isfinite(made.get_weights()[0]).all()


def test_the_first_index_out_of_range_is_found():
    layer, checks = keras.layers.Embedding(5, 2), xla.IndexChecks()
    layer.build()

    @tf.function(jit_compile=True)
    def found(tokens):
        layer(tokens)
        return checks.found(tf.compat.v1.get_default_graph().get_operations())

    tokens = np.array([[0, 4, 2], [3, 1, 0]])
    assert found(tokens).numpy().tolist() == [0, 0]
    number, index = found(np.array([[0, 4, 2], [3, 9, 8]])).numpy()
    assert index == 9
    assert "indices = 9 is not in [0, 5)" in str(checks.error(number, index))


def test_a_model_on_the_native_kernel_runs_without_xla(native_on):
    kv.native.set_enabled(
        True
    )  # pytest may set up `native_off`, for all tests of this file, after `native_on`
    assert compiled_in_fit(model()) is False
    stack = keras.Sequential([kv.VanillaRNN(4, return_sequences=True), keras.layers.LSTM(3)])
    assert compiled_in_fit(model(layer=stack)) is True
