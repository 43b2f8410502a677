"""GradientHealth on models that really vanish, explode, are bound by clipping, or learn."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_vrnn as kv

STEPS = 40


def sequences(count=64, steps=STEPS, seed=0):
    """Noise, and whether the first value, or the last, is positive."""
    x = np.random.default_rng(seed).normal(size=(count, steps, 2)).astype("float32")
    return x, (x[:, 0, :1] > 0).astype("float32"), (x[:, -1, :1] > 0).astype("float32")


def train(
    recurrent, target="last", epochs=2, optimizer=None, callback=None, steps=STEPS, head=None, **compile_args
):
    """Four steps an epoch; returns the callback and the History."""
    keras.utils.set_random_seed(1)
    x, first, last = sequences(steps=steps)
    y = first if target == "first" else last
    model = kv.Sequential([keras.Input((steps, 2)), recurrent, head or layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(1e-2), "mse", jit_compile=False, **compile_args)
    callback = callback or kv.callbacks.GradientHealth(sample=(x[:8], y[:8]), min_steps=4)
    history = model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, callbacks=[callback])
    return callback, history


def scaled(gain):
    return keras.initializers.Orthogonal(gain=gain)


@pytest.mark.parametrize("recurrent", [kv.VanillaRNN, layers.LSTM, layers.GRU])
def test_healthy(recurrent):
    options = {"recurrent_initializer": "identity"} if recurrent is kv.VanillaRNN else {}
    # A warning would be an error: pyproject.toml.
    callback, _ = train(recurrent(8, **options), steps=12)
    assert callback.verdict.kind == "healthy", str(callback.verdict)
    assert callback.verdict.is_healthy
    assert "the gradient reaches" in callback.verdict.reason
    assert callback.verdict.remedy == ""
    assert len(callback.verdicts) == 2


def test_a_vanishing_gradient_in_a_vanilla_rnn():
    x, first, _ = sequences(seed=1)  # the model memorizes some of the sequences that it trains on
    callback = kv.callbacks.GradientHealth(sample=(x, first), min_steps=4)
    with pytest.warns(UserWarning, match="Gradients after epoch 1 are vanishing") as caught:
        callback, history = train(
            kv.VanillaRNN(8, recurrent_initializer=scaled(0.5)), target="first", epochs=3, callback=callback
        )
    assert callback.verdict.kind == "vanishing"
    assert callback.flow.horizon < STEPS / 4
    assert f"of {STEPS} steps" in callback.verdict.reason
    assert "gated cell" in callback.verdict.remedy
    warned = [warning for warning in caught if "Gradients after" in str(warning.message)]
    assert len(warned) == 1, "the second and third epoch are vanishing too"
    assert len(history.epoch) == 3


def test_a_vanishing_gradient_in_an_lstm_has_a_remedy_of_its_own():
    # Without its bias of 1 the forget gate is half closed: a factor of 0.5 per step.
    with pytest.warns(UserWarning, match="vanishing"):
        callback, _ = train(layers.LSTM(8, unit_forget_bias=False), target="first", epochs=1)
    assert "forget gate" in callback.verdict.remedy


def test_dead_units_have_norms_near_zero():
    dead = kv.VanillaRNN(8, activation="relu", bias_initializer=keras.initializers.Constant(-50.0))
    with pytest.warns(UserWarning, match="vanishing: the norm is near zero"):
        train(
            dead,
            head=layers.Dense(1, use_bias=False),
            epochs=1,
            callback=kv.callbacks.GradientHealth(min_steps=4),
        )


def test_stop_ends_a_training_with_an_exploding_gradient():
    # From the last step to the first, 1.5^39 = 7e6; the first update leaves weights of that size.
    burst = kv.VanillaRNN(8, activation="linear", recurrent_initializer=scaled(1.5))
    callback = kv.callbacks.GradientHealth("stop", min_steps=4)
    with pytest.warns(UserWarning, match=r"exploding: the gradient was not finite in .* Training stops here"):
        _, history = train(burst, optimizer=keras.optimizers.SGD(1.0), epochs=5, callback=callback)
    assert len(history.epoch) == 1
    assert "global_clipnorm" in callback.verdict.remedy


def test_an_exploding_gradient_that_clipping_hides_is_seen_in_the_sample():
    burst = kv.VanillaRNN(8, activation="linear", recurrent_initializer=scaled(1.5))
    with pytest.warns(UserWarning, match="exploding: the gradient grows"):
        train(burst, epochs=1, global_clipnorm=1.0)


def test_clip_bound():
    callback = kv.callbacks.GradientHealth(min_steps=4)
    with pytest.warns(
        UserWarning, match=r"clip-bound: global_clipnorm=1e-06 shrinks 100% of 8 steps, .* does not"
    ):
        train(
            kv.VanillaRNN(8),
            optimizer=keras.optimizers.SGD(1e-2),
            callback=callback,
            global_clipnorm=1e-6,
        )
    assert "Raise global_clipnorm" in callback.verdict.remedy


def test_clipping_that_does_not_hinder_learning_is_healthy():
    """Adam undoes the scale of the gradient: nearly every step is clipped, and the loss falls all the same."""
    callback = kv.callbacks.GradientHealth(min_steps=4)
    _, history = train(kv.VanillaRNN(8), epochs=6, callback=callback, global_clipnorm=1e-2)
    assert history.history["clip_fraction"][-1] == 1
    assert history.history["loss"][-1] < 0.9 * history.history["loss"][0], (
        "the test is about a training that works"
    )
    assert {verdict.kind for verdict in callback.verdicts} == {"healthy"}


@pytest.mark.parametrize("stops", [False, True])
def test_the_warning_waits_for_the_progress_bar_and_shows_no_line_of_code(stops, capsys):
    order = []

    class Order(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            order.append(f"begin {epoch}")

        def on_epoch_end(self, epoch, logs=None):
            order.append(f"end {epoch}")

    health = kv.callbacks.GradientHealth("stop" if stops else "warn", sample=None, min_steps=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        original = warnings.showwarning

        def show(message, *args, **kwargs):
            if "Gradients after" in str(message):
                order.append("warning")
            original(message, *args, **kwargs)

        warnings.showwarning = show
        dead = kv.VanillaRNN(8, activation="relu", bias_initializer=keras.initializers.Constant(-50.0))
        x, first, _ = sequences()
        model = kv.Sequential([keras.Input((STEPS, 2)), dead, layers.Dense(1, use_bias=False)])
        model.compile("adam", "mse", jit_compile=False)
        model.fit(x, first, batch_size=16, epochs=2, verbose=0, callbacks=[health, Order()])
    assert order == (
        ["begin 0", "end 0", "warning"] if stops else ["begin 0", "end 0", "warning", "begin 1", "end 1"]
    )
    (warning,) = [one for one in caught if "Gradients after" in str(one.message)]
    shown = warnings.formatwarning(warning.message, warning.category, warning.filename, warning.lineno)
    assert shown.count("\n") == 1, "the message alone"
    assert ".py" not in shown


def test_the_warning_comes_again_in_the_next_training():
    health = kv.callbacks.GradientHealth(min_steps=4)
    for _ in range(2):
        with pytest.warns(UserWarning, match="vanishing"):
            train(
                kv.VanillaRNN(8, activation="relu", bias_initializer=keras.initializers.Constant(-50.0)),
                head=layers.Dense(1, use_bias=False),
                epochs=1,
                callback=health,
            )


def test_no_step_is_lost_with_several_steps_per_execution():
    callback = kv.callbacks.GradientHealth(min_steps=8)
    train(kv.VanillaRNN(4), epochs=2, callback=callback, steps_per_execution=3)
    assert [verdict.kind for verdict in callback.verdicts] == ["unknown", "healthy"]
    assert "over 8 steps" in callback.verdict.reason


def test_before_training_the_verdict_is_unknown():
    assert kv.callbacks.GradientHealth().verdict.kind == "unknown"


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"on_unhealthy": "ignore"},
            r"`on_unhealthy` must be 'warn' or 'stop'. Received: on_unhealthy='ignore'",
        ),
        ({"sample": np.ones(3)}, r"`sample` must be \(x, y\), .* Received: sample of type ndarray"),
        ({"window": 0}, "`window` must be a positive integer. Received: window=0"),
        ({"window": 5}, "`window` must be at least min_steps=10. Received: window=5"),
        ({"min_steps": 1.5}, r"`min_steps` must be a positive integer. Received: min_steps=1.5"),
        ({"clipped_share": 0}, "`clipped_share` must be a finite number > 0"),
        (
            {"horizon_share": 2},
            "`horizon_share` must be a number above 0 and at most 1. Received: horizon_share=2",
        ),
        ({"nonfinite_share": "5%"}, "`nonfinite_share` must be a finite number"),
        ({"near_zero": -1}, "`near_zero` must be a finite number ≥ 0. Received: near_zero=-1"),
        ({"growth": 1}, "`growth` must be a finite number > 1. Received: growth=1"),
        ({"clipped_ratio": 0.5}, "`clipped_ratio` must be a finite number ≥ 1. Received: clipped_ratio=0.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kv.callbacks.GradientHealth(**arguments)


def test_a_stock_model_is_refused():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="GradientHealth reads norms"):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0, callbacks=[kv.callbacks.GradientHealth()])


def test_a_sample_for_a_model_without_recurrence_is_refused_before_training():
    model = kv.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    x = np.ones((2, 1), "float32")
    with pytest.raises(ValueError, match="has no recurrent layer"):
        model.fit(x, x, verbose=0, callbacks=[kv.callbacks.GradientHealth(sample=(x, x))])
    assert not model.get_weights()[0].any()
