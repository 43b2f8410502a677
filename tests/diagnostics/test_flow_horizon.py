"""Horizon, rate and verdict from gradient_flow, the end of float32, and bad input."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from flows import gradient_flow_of, layer_flow
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import FlowProbe, gradient_flow
from keras_vrnn.diagnostics.probe import steps_back

# float32 rounding of 6e-8 per step, over a few dozen steps.
SINGLE = 1e-5


def only(flow):
    (layer,) = flow.layers
    return layer


def _scaled(gain):
    return keras.initializers.Orthogonal(gain=gain)


def linear(radius, steps, dtype="float32"):
    """h_t = h_{t-1}·W_h + …, W_h = `radius` times an orthogonal matrix: every step changes the norm by that factor."""
    keras.utils.set_random_seed(1)
    recurrent = kv.VanillaRNN(8, activation="linear", recurrent_initializer=_scaled(radius), dtype=dtype)
    return keras.Sequential([keras.Input((steps, 3)), recurrent, layers.Dense(1)])


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


def test_one_program_measures_while_weights_change():
    model = linear(0.5, 20)
    x, y = np.ones((2, 20, 3), "float32"), np.ones((2, 1), "float32")
    probe = FlowProbe(model, "mse")
    first = only(probe.measure(x, y)).rate
    kernel, recurrent_kernel, bias = model.layers[0].get_weights()
    model.layers[0].set_weights([kernel, 1.6 * recurrent_kernel, bias])
    assert (first, only(probe.measure(x, y)).rate) == pytest.approx((0.5, 0.8), rel=SINGLE)


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


def test_the_remedy_depends_on_the_cell():
    x = np.ones((2, 200, 3), "float32")
    vanilla = gradient_flow(linear(0.5, 200), x, np.ones((2, 1)), "mse").verdict
    closed = keras.Sequential(
        [keras.Input((200, 3)), layers.LSTM(4, unit_forget_bias=False), layers.Dense(1)]
    )
    gated = gradient_flow(closed, x, np.ones((2, 1)), "mse").verdict
    assert vanilla.kind == gated.kind == "vanishing"
    assert "gated cell" in vanilla.remedy
    assert "forget gate" in gated.remedy


def test_sequences_of_different_length_are_aligned_at_their_ends():
    norms = np.array([[1, 10, 100, 0, 0], [0.2, 2, 20, 200, 2000]])
    counts = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    rms = np.sqrt([(100**2 + 2000**2) / 2, (10**2 + 200**2) / 2, (1 + 20**2) / 2, 2**2, 0.2**2])
    np.testing.assert_allclose(steps_back(norms, counts), rms, rtol=1e-15)
    np.testing.assert_array_equal(steps_back(norms, np.zeros((2, 5), bool)), np.zeros(5))


# Bad input.

X, Y = np.ones((2, 5, 3), "float32"), np.ones((2, 1), "float32")


def test_a_layer_is_not_a_model():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model\. Received: model=<VanillaRNN"):
        gradient_flow(kv.VanillaRNN(3), X, Y, "mse")


def test_a_model_without_recurrence():
    model = keras.Sequential([keras.Input((5, 3)), layers.Flatten(), layers.Dense(1)], name="flat")
    with pytest.raises(ValueError, match="model 'flat' has no recurrent layer"):
        gradient_flow(model, X, Y, "mse")


def test_a_missing_loss():
    with pytest.raises(ValueError, match=r"not compiled with a loss. Compile it, or name the loss"):
        gradient_flow(linear(1.0, 5), X, Y)


def test_targets_of_another_length():
    with pytest.raises(ValueError, match=r"same number of sequences, .* \[\(2, 5, 3\), \(3, 1\)\]"):
        gradient_flow(linear(1.0, 5), X, np.ones((3, 1)), "mse")


def test_missing_targets():
    with pytest.raises(ValueError, match=r"`y` must be the targets, .* Received: y=None"):
        gradient_flow(linear(1.0, 5), X, None, "mse")


def test_one_loss_for_two_outputs():
    x = keras.Input((5, 3))
    h = kv.VanillaRNN(4)(x)
    with pytest.raises(ValueError, match=r"`loss` must be None for a model with several outputs: .* has 2"):
        gradient_flow(keras.Model(x, [layers.Dense(1)(h), layers.Dense(1)(h)]), X, [Y, Y], "mse")


def test_a_recurrence_in_the_loop_of_another_layer_is_refused():
    class Mapped(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.rnn = kv.VanillaRNN(2, name="hidden_away")

        def build(self, shape):
            self.rnn.build(shape[1:])

        def call(self, x):
            return tf.map_fn(self.rnn, x, fn_output_signature=tf.TensorSpec((4, 2)))

        def compute_output_shape(self, shape):
            return (shape[0], 4, 2)

    model = keras.Sequential([keras.Input((4, 5, 3)), Mapped(), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(ValueError, match="hidden_away' is called inside a loop or function of another layer"):
        gradient_flow(model, np.ones((2, 4, 5, 3), "float32"), Y, "mse")


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(
        RuntimeError, match="gradient_flow needs the TensorFlow backend of Keras, received 'jax'"
    ):
        gradient_flow(None, X, Y)


def test_unknown_layer_name():
    flow = gradient_flow(linear(1.0, 5), X, Y, "mse")
    with pytest.raises(KeyError, match="There is no layer 'lstm'"):
        flow["lstm"]
