"""Horizon, rate and verdict of gradient_flow for known dynamics, and the end of float32."""

import json

import keras
import numpy as np
import pytest
from flows import gradient_flow_of, layer_flow, linear, only
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import gradient_flow

# float32 rounding of 6e-8 per step, over a few dozen steps.
SINGLE = 1e-5


def _scaled(gain):
    return keras.initializers.Orthogonal(gain=gain)


@pytest.mark.parametrize(
    ("radius", "steps", "horizon", "kind"),
    # 0.5^7 < 1 % < 0.5^6; 0.9^44 < 1 % < 0.9^43.
    [
        (0.5, 60, 7, "vanishing"),
        (0.9, 60, 44, "healthy"),
        (1.0, 60, 60, "healthy"),
        (1.5, 60, 60, "exploding"),
    ],
)
def test_horizon_rate_and_verdict_of_known_dynamics(radius, steps, horizon, kind):
    x = np.random.default_rng(0).normal(size=(4, steps, 3)).astype("float32")
    flow = gradient_flow(linear(radius, steps), x, np.ones((4, 1)), "mse")
    assert flow.horizon == horizon
    assert flow.verdict.kind == kind
    assert only(flow).rate == pytest.approx(radius, rel=SINGLE)
    np.testing.assert_allclose(only(flow).decay, radius ** np.arange(60.0), rtol=1e-4)  # 1e-6 per step


def test_norms_whose_squares_are_below_float32_are_right_and_smaller_ones_are_0():
    steps = 500
    x = np.ones((2, steps, 3), "float32")
    layer = only(gradient_flow(linear(0.8, steps), x, np.ones((2, 1)), "mse"))
    # 0.8^300 = 9e-30: its square is not a float32. float32 rounding of 6e-8, over 300 steps.
    np.testing.assert_allclose(layer.decay[300], 0.8**300, rtol=1e-4)
    assert layer.decay[-1] == 0, "0.8^499 = 4e-49 is below the smallest float32"
    assert layer.floor == pytest.approx(1.18e-38, rel=0.01)
    assert "below 1e-38 is 0" in str(gradient_flow(linear(0.8, steps), x, np.ones((2, 1)), "mse"))
    double = only(gradient_flow(linear(0.8, steps, "float64"), x, np.ones((2, 1)), "mse"))
    np.testing.assert_allclose(double.decay[-1], 0.8**499, rtol=1e-4)


def test_steps_after_the_last_one_that_the_loss_reads_do_not_count():
    every = kv.VanillaRNN(
        4, activation="linear", recurrent_initializer=_scaled(0.5), return_sequences=True, name="every"
    )
    model = keras.Sequential([keras.Input((30, 3)), every, layers.Cropping1D((10, 5)), layers.Flatten()])
    x = np.ones((2, 30, 3), "float32")
    flow = gradient_flow(model, x, np.ones((2, 1)), lambda y, p: p[:, -1])
    assert (flow["every"].norms > 0).sum() == flow["every"].steps == 25
    assert flow.horizon == 7, "0.5^7 < 1 % < 0.5^6"


@pytest.mark.parametrize(("policy", "floor"), [("mixed_float16", 6.1e-5), ("mixed_bfloat16", 1.18e-38)])
def test_the_floor_is_that_of_the_arithmetic(policy, floor):
    recurrent = [layers.LSTM(3, return_sequences=True, dtype=policy), kv.VanillaRNN(2, dtype=policy)]
    model = keras.Sequential([keras.Input((6, 3)), *recurrent, layers.Dense(1)])
    flow = gradient_flow(model, np.ones((2, 6, 3), "float32"), np.ones((2, 1)), "mse")
    assert [layer.floor for layer in flow.layers] == pytest.approx([floor, floor], rel=0.01)
    assert all(np.isfinite(layer.norms).all() for layer in flow.layers)


def test_encoder_and_decoder_have_their_own_steps():
    source, target_in = keras.Input((12, 3)), keras.Input((5, 2))
    _, h = kv.VanillaRNN(4, return_state=True, name="encoder")(source)
    decoded = kv.VanillaRNN(4, return_sequences=True, name="decoder")(target_in, initial_state=h)
    model = keras.Model([source, target_in], layers.Dense(2)(decoded))
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(3, *shape)).astype("float32") for shape in ((12, 3), (5, 2), (5, 2))]
    flow = gradient_flow(model, data[:2], data[2], "mse")
    assert {layer.name: layer.steps for layer in flow.layers} == {"encoder": 12, "decoder": 5}
    # The last output's error comes back to the encoder's last state through all steps of the decoder.
    assert flow["encoder"].norms[-1] > 0
    assert flow["encoder"].decay[0] == flow["decoder"].decay[0] == 1


def test_the_horizon_of_a_stack_is_its_longest():
    long, short = layer_flow([1.0] * 20, "long"), layer_flow([1.0] + [1e-3] * 19, "short")
    assert gradient_flow_of(long, short).horizon == 20
    other = layer_flow([1.0, 1e-3, 1e-3, 1e-3, 1e-3], "decoder")
    flow = gradient_flow_of(long, short, other)
    assert flow.horizon == 1
    assert flow.verdict.reason.startswith("decoder: ")
    burst = layer_flow([1.0, 1e3], "burst")
    assert gradient_flow_of(other, burst).verdict.kind == "exploding"


def test_no_gradient_and_a_gradient_that_is_not_finite():
    x = np.ones((2, 30, 3), "float32")
    dead = linear(1.0, 30)
    dead.layers[-1].set_weights([np.zeros((8, 1)), np.zeros(1)])
    assert "no gradient reaches any of the steps" in str(gradient_flow(dead, x, np.ones((2, 1)), "mse"))
    burst = gradient_flow(linear(1e9, 30), x, np.ones((2, 1)), "mse")
    assert burst.verdict.kind == "exploding"
    assert "not finite" in burst.verdict.reason
    json.dumps(burst.to_dict(), allow_nan=False)


# Bad input.

X, Y = np.ones((2, 5, 3), "float32"), np.ones((2, 1), "float32")


def test_unknown_layer_name():
    flow = gradient_flow(linear(1.0, 5), X, Y, "mse")
    with pytest.raises(KeyError, match="There is no layer 'lstm'"):
        flow["lstm"]
