"""GradientHealth: on models that really vanish, explode, are ruled by clipping, or learn; and the rules one by one."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import GradientFlow, Verdict, health
from keras_vrnn.diagnostics.flow import LayerFlow
from keras_vrnn.training.settings import GradientSettings

STEPS = 40


def sequences(count=64, steps=STEPS):
    """Noise, and whether the first value, or the last, is positive."""
    x = np.random.default_rng(0).normal(size=(count, steps, 2)).astype("float32")
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
    with pytest.warns(UserWarning, match="Gradients after epoch 1 are vanishing") as caught:
        callback, history = train(
            kv.VanillaRNN(8, recurrent_initializer=scaled(0.5)), target="first", epochs=3
        )
    assert callback.verdict.kind == "vanishing"
    assert callback.flow.horizon < STEPS / 4
    assert f"of {STEPS} steps" in callback.verdict.reason
    assert "gated cell" in callback.verdict.remedy
    said = [warning for warning in caught if "Gradients after" in str(warning.message)]
    assert len(said) == 1, "though it goes on"
    assert len(history.epoch) == 3


def test_a_vanishing_gradient_in_an_lstm_has_another_remedy():
    # Without its bias of 1 the forget gate is half shut: 0.5 a step.
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


def test_stop_ends_a_training_whose_gradient_explodes():
    # 1.5^39 = 7e6 from the last step to the first, and weights of that size after the first update.
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
    with pytest.warns(UserWarning, match=r"clip-bound: global_clipnorm=0.001 changed 100% of 4 steps"):
        train(kv.VanillaRNN(8), epochs=1, callback=callback, global_clipnorm=1e-3)
    assert "learning rate" in callback.verdict.remedy


def test_no_step_is_lost_with_several_steps_an_execution():
    callback = kv.callbacks.GradientHealth(min_steps=8)
    train(kv.VanillaRNN(4), epochs=2, callback=callback, steps_per_execution=3)
    assert [verdict.kind for verdict in callback.verdicts] == ["unknown", "healthy"]
    assert "over 8 steps" in callback.verdict.reason


# The rules, by numbers.

RULES = health.Thresholds(
    min_steps=10, clipped_share=0.5, near_zero=1e-6, growth=10.0, nonfinite_share=0.05, horizon_share=0.25
)
NONE, CLIPPED = GradientSettings(), GradientSettings(global_clipnorm=1.0)


def judged(norms, settings=NONE, losses=(1.0,), **kwargs):
    norms = np.asarray(norms, float)
    limit = settings.global_clipnorm or np.inf
    return health.judge(norms, np.minimum(norms, limit), settings, list(losses), RULES, **kwargs).kind


def flow(decay):
    decay = np.asarray(decay, float)
    return GradientFlow((LayerFlow("rnn", decay, decay, gated=False, floor=0.0),), 0.0, 1)


@pytest.mark.parametrize(
    ("kind", "norms", "kwargs"),
    [
        ("unknown", np.ones(9), {}),
        ("healthy", np.ones(10), {}),
        # One bad batch in 40 is bad data; one in 20 is not chance.
        ("healthy", [*np.ones(39), np.nan], {}),
        ("exploding", [*np.ones(19), np.inf], {}),
        ("exploding", np.full(20, np.nan), {}),
        # Ten times the first quarter, or the smallest median so far, while the loss stays.
        ("exploding", np.geomspace(1, 30, 40), {}),
        ("healthy", np.geomspace(1, 5, 40), {}),
        ("exploding", np.full(40, 11.0), {"baseline": 1.0, "losses": (2.0, 2.5)}),
        ("healthy", np.full(40, 11.0), {"baseline": 1.0, "losses": (2.0, 1.5)}),
        # Growth out of rounding noise is none.
        ("vanishing", np.geomspace(1e-12, 1e-9, 40), {}),
        ("vanishing", np.full(40, 1e-7), {}),
        ("vanishing", np.full(40, 1e-7), {"losses": (1.0, 0.9)}),
        ("healthy", np.full(40, 1e-7), {"losses": (1.0, 1e-6)}),
        ("vanishing", np.ones(40), {"flow": flow([1, *[1e-3] * 20])}),
        ("healthy", np.ones(40), {"flow": flow(np.ones(20))}),
        ("exploding", np.ones(40), {"flow": flow(np.geomspace(1, 200, 20))}),
        ("clip-bound", np.full(40, 2.0), {"settings": CLIPPED}),
        ("clip-bound", np.full(40, 1.0), {"settings": CLIPPED}),  # at the threshold
        ("healthy", [*np.full(20, 2.0), *np.full(20, 0.5)], {"settings": CLIPPED}),  # a half is not most
        # The gravest first.
        ("exploding", [*np.full(20, 2.0), *np.full(20, np.nan)], {"settings": CLIPPED}),
        ("vanishing", np.full(40, 2.0), {"settings": CLIPPED, "flow": flow([1, *[1e-3] * 20])}),
    ],
)
def test_rules(kind, norms, kwargs):
    assert judged(norms, **kwargs) == kind


def test_clipping_by_variable_counts_what_it_changed():
    settings = GradientSettings(clipnorm=1.0)
    norms, clipped = np.full(20, 3.0), np.full(20, 2.0)
    assert health.judge(norms, clipped, settings, [1.0], RULES).reason.startswith("clipnorm=1 changed 100%")
    assert health.judge(norms, norms, settings, [1.0], RULES).kind == "healthy"


def test_a_verdict_reads_as_a_sentence():
    assert str(Verdict("vanishing", "so little", "Do that.")) == "vanishing: so little. Do that."
    assert str(Verdict("healthy", "enough")) == "healthy: enough."
    assert not Verdict("unknown", "").is_healthy
    assert not Verdict("unknown", "").is_unhealthy
    assert kv.callbacks.GradientHealth().verdict.kind == "unknown"


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_unhealthy": "ignore"}, r"`on_unhealthy` must be 'warn' or 'stop', received 'ignore'"),
        ({"sample": np.ones(3)}, r"`sample` must be \(x, y\), .* received ndarray"),
        ({"window": 0}, "`window` must be a positive integer, received 0"),
        ({"window": 5}, "`window` must be at least min_steps=10, received 5"),
        ({"min_steps": 1.5}, r"`min_steps` must be a positive integer, received 1.5"),
        ({"clipped_share": 0}, "`clipped_share` must be a number above 0"),
        ({"horizon_share": 2}, "`horizon_share` must be a number above 0, and at most 1, received 2"),
        ({"nonfinite_share": "5%"}, "`nonfinite_share` must be a number"),
        ({"near_zero": -1}, "`near_zero` must be a number of at least 0, received -1"),
        ({"growth": 1}, "`growth` must be a number above 1, received 1"),
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
