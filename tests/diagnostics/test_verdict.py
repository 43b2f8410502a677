"""Verdicts on models of known behaviour, many of them trained: none may be false."""

import keras
import numpy as np
import pytest
from flows import normal, trained
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import Verdict, gradient_flow


def attention_pooling(steps, units=8, recurrent=None):
    """A softmax over the steps, from a score of h_t and t, pools the states; the output reads the pooled state."""
    inputs, place = keras.Input((steps, 2)), keras.Input((steps, steps))
    h = (recurrent or kv.VanillaRNN(units, return_sequences=True))(inputs)
    scores = layers.Softmax(axis=1)(layers.Dense(1)(layers.concatenate([h, place])))
    pooled = layers.Flatten()(layers.Dot(axes=1)([scores, h]))
    return kv.Model([inputs, place], layers.Dense(1)(pooled))


def places(count, steps):
    return np.broadcast_to(np.eye(steps, dtype="float32"), (count, steps, steps)).copy()


def test_attention_on_an_early_step_is_healthy_in_every_epoch():
    keras.utils.set_random_seed(1)
    steps = 30
    x = [normal(128, steps, 2), places(128, steps)]
    y = x[0][:, 7, :1]
    model = attention_pooling(steps)
    health = kv.callbacks.GradientHealth("stop", sample=([part[:32] for part in x], y[:32]))
    history = trained(model, x, y, epochs=40, rate=3e-2, callbacks=[health])
    assert len(history.epoch) == 40, "a warning would be an error: pyproject.toml"
    assert history.history["loss"][-1] < 0.2, "the test is about a model that learns"
    assert {verdict.kind for verdict in health.verdicts} <= {"healthy", "unknown"}
    flow = health.flow.layers[0]
    # Step 7, or the one after it, whose state still holds x_7.
    assert flow.direct.argmax() in (steps - 1 - 7, steps - 1 - 8)
    assert flow.decay.max() < 100


def test_a_loss_that_reads_an_early_step_most_is_not_an_explosion():
    inputs = keras.Input((40, 3))
    h = kv.VanillaRNN(8, recurrent_initializer="identity", activation="linear", return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(1e4 * h[:, 5] + h[:, -1]))
    flow = gradient_flow(model, normal(16, 40, 3), normal(16, 1), "mse")
    assert flow.verdict.kind == "healthy", str(flow.verdict)
    assert flow.layers[0].norms[5] > 1000 * flow.layers[0].norms[-1]
    # The identity carries everything: by the direct part alone the norms differ.
    np.testing.assert_allclose(flow.layers[0].decay, 1, rtol=1e-5)
    assert flow.layers[0].direct[40 - 1 - 5] == 1


def test_a_loss_that_reads_an_early_step_alone_is_judged_up_to_that_step():
    inputs = keras.Input((50, 3))
    h = kv.VanillaRNN(8, return_sequences=True)(inputs)
    flow = gradient_flow(
        keras.Model(inputs, layers.Dense(1)(h[:, 5])), normal(16, 50, 3), normal(16, 1), "mse"
    )
    assert flow.layers[0].steps == 6
    assert flow.verdict.kind == "healthy", str(flow.verdict)


def test_an_explosion_stays_one_under_a_loss_that_reads_every_step():
    """The recurrence amplifies the gradient of the last step until it dominates all that is read directly."""
    inputs = keras.Input((40, 3))
    recurrent = kv.VanillaRNN(
        8,
        activation="linear",
        recurrent_initializer=keras.initializers.Orthogonal(gain=1.5),
        return_sequences=True,
    )
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(recurrent(inputs))))
    found = gradient_flow(model, normal(16, 40, 3), normal(16, 1), "mse").verdict
    assert found.kind == "exploding"
    assert "Orthogonal has 1.5 now" in found.remedy


def test_irnn():
    irnn = kv.VanillaRNN(32, "relu", recurrent_initializer=kv.initializers.ScaledIdentity())
    model = keras.Sequential([keras.Input((150, 3)), irnn, layers.Dense(1)])
    flow = gradient_flow(model, normal(16, 150, 3), normal(16, 1), "mse")
    assert flow.verdict.kind == "healthy", str(flow.verdict)


def test_an_lstm_that_remembers_in_c_alone_is_healthy():
    """The gates hardly read h_{t-1}, and c carries everything."""
    lstm = layers.LSTM(8, recurrent_initializer=keras.initializers.RandomNormal(stddev=1e-4))
    model = keras.Sequential([keras.Input((80, 3)), lstm, layers.Dense(1)])
    kernel, recurrent_kernel, bias = lstm.get_weights()
    bias[8:16] = 8.0
    lstm.set_weights([kernel, recurrent_kernel, bias])
    flow = gradient_flow(model, normal(16, 80, 3), normal(16, 1), "mse")
    assert flow.verdict.kind == "healthy", str(flow.verdict)
    assert flow.horizon == 80
    assert flow.layers[0].norms[-2] < 0.01 * flow.layers[0].norms[-1], "h alone would look forgetful"


@pytest.mark.parametrize("recurrent", [kv.VanillaRNN, layers.LSTM, layers.GRU])
def test_a_learned_task_of_the_last_step_is_healthy(recurrent):
    """The network has learned to forget what the task does not need."""
    keras.utils.set_random_seed(1)
    x = normal(256, 40, 2)
    y = x[:, -1, :1]
    model = kv.Sequential([keras.Input((40, 2)), recurrent(8), layers.Dense(1)])
    health = kv.callbacks.GradientHealth(sample=(x[:32], y[:32]))
    history = trained(model, x, y, epochs=15, rate=2e-2, callbacks=[health])
    assert history.history["loss"][-1] < 0.1
    assert health.verdict.kind == "healthy", str(health.verdict)
    flow = gradient_flow(model, x[:32], y[:32])
    assert flow.verdict.kind == "healthy", str(flow.verdict)
    assert flow.has_learned
    if flow.horizon < 10:
        assert "the task is learned" in flow.verdict.reason


@pytest.mark.parametrize("steps", [20, 150])
def test_a_target_for_every_step_does_not_look_like_an_explosion(steps):
    """150 terms of one sign add up to more than 100 times the last term."""
    recurrent = kv.VanillaRNN(
        16, activation="linear", recurrent_initializer="identity", return_sequences=True
    )
    model = keras.Sequential([keras.Input((steps, 3)), recurrent, layers.Dense(1)])
    x = normal(16, steps, 3)
    flow = gradient_flow(model, x, normal(16, steps, 1) + 100, "mse")
    assert flow.verdict.kind == "healthy", str(flow.verdict)
    assert flow.layers[0].amplification > 0.9 * steps


def test_a_forgetful_recurrence_with_a_target_for_every_step():
    forgetful = kv.VanillaRNN(
        16, recurrent_initializer=keras.initializers.Orthogonal(gain=0.3), return_sequences=True
    )
    model = keras.Sequential([keras.Input((40, 3)), forgetful, layers.Dense(1)])
    found = gradient_flow(model, normal(16, 40, 3), normal(16, 40, 1), "mse").verdict
    assert found.kind == "vanishing"
    assert "attention" not in found.remedy, "it would mix the targets of the steps"


def test_a_learned_target_for_every_step():
    keras.utils.set_random_seed(1)
    x = normal(64, 40, 2)
    y = x[:, :, :1] + 0.5 * np.pad(x[:, :-1, :1], ((0, 0), (1, 0), (0, 0)))
    model = kv.Sequential([keras.Input((40, 2)), kv.VanillaRNN(8, return_sequences=True), layers.Dense(1)])
    health = kv.callbacks.GradientHealth(sample=(x[:16], y[:16]), min_steps=1)
    trained(model, x, y, epochs=20, rate=2e-2, callbacks=[health])
    assert health.verdict.kind == "healthy", str(health.verdict)


@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional(sequences):
    keras.utils.set_random_seed(0)
    both = kv.Bidirectional(
        kv.VanillaRNN(16, "relu", recurrent_initializer="identity", return_sequences=sequences)
    )
    model = keras.Sequential([keras.Input((60, 3)), both, layers.Dense(1)])
    y = normal(16, 60, 1) if sequences else normal(16, 1)
    flow = gradient_flow(model, normal(16, 60, 3), y, "mse")
    assert flow.verdict.kind == "healthy", str(flow.verdict)
    assert [layer.steps for layer in flow.layers] == [60, 60]


def test_a_backward_layer_below_a_layer_that_reads_one_end():
    """The loss reads what it computed first; what it computed last reaches the loss through the upper layer."""
    keras.utils.set_random_seed(0)
    lower = kv.Bidirectional(kv.VanillaRNN(8, return_sequences=True))
    upper = kv.VanillaRNN(8, recurrent_initializer=keras.initializers.Orthogonal(gain=0.7))
    model = keras.Sequential([keras.Input((60, 3)), lower, upper, layers.Dense(1)])
    flow = gradient_flow(model, normal(16, 60, 3), normal(16, 1), "mse")
    assert "exploding" not in {layer.verdict.kind for layer in flow.layers}


def test_padding_is_not_part_of_the_way_back():
    keras.utils.set_random_seed(0)
    x = normal(16, 100, 3)
    for row, length in zip(x, np.random.default_rng(1).integers(8, 13, size=16), strict=True):
        row[length:] = 0
    model = keras.Sequential([keras.Input((100, 3)), layers.Masking(), kv.VanillaRNN(16), layers.Dense(1)])
    flow = gradient_flow(model, x, normal(16, 1), "mse")
    assert flow.layers[0].steps == 12
    assert flow.verdict.kind == "healthy", str(flow.verdict)


def test_pooling_reads_every_step_directly():
    """Whatever the recurrence forgets, the gradient reaches every step."""
    keras.utils.set_random_seed(0)
    forgetful = kv.VanillaRNN(
        16, recurrent_initializer=keras.initializers.Orthogonal(gain=0.3), return_sequences=True
    )
    model = keras.Sequential(
        [keras.Input((100, 3)), forgetful, layers.GlobalAveragePooling1D(), layers.Dense(1)]
    )
    found = gradient_flow(model, normal(16, 100, 3), normal(16, 1), "mse").verdict
    assert found.kind == "healthy"
    assert "reads earlier steps directly" in found.reason


def test_a_verdict_reads_as_a_sentence():
    assert str(Verdict("vanishing", "so little", "Do that.")) == "vanishing: so little. Do that."
    assert str(Verdict("healthy", "enough")) == "healthy: enough."
    assert not Verdict("unknown", "").is_healthy
    assert not Verdict("unknown", "").is_unhealthy
