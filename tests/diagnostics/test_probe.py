"""gradient_flow against the oracle and finite differences, in models of all kinds."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from flows import linear, only, weighted_sum
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import FlowProbe, gradient_flow
from keras_vrnn.diagnostics.probe import steps_back

# float64 models: a sum of a few hundred products loses at most three of its 16 digits.
EXACT = 1e-12
# Central differences with a step of 1e-5: an error of the order 1e-10, and the rounding of the loss over the step.
DIFFERENCES = 1e-7
# float32 rounding of 4e-8, over a few dozen steps back.
SINGLE = 1e-5


def oracle_norms(problem, d_outputs):
    """‖∂L/∂h_t‖ from the oracle: ∂L/∂h_t is the gradient of the initial state of the rest of the sequence."""
    hidden, norms = reference.forward(problem), []
    for t in range(problem.time):
        rest = reference.Problem(
            x=problem.x[:, t + 1 :],
            kernel=problem.kernel,
            recurrent_kernel=problem.recurrent_kernel,
            bias=problem.bias,
            initial_state=hidden[:, t],
            mask=problem.counts[:, t + 1 :],
            activation=problem.activation,
        )
        of_rest = reference.backward(rest, d_outputs[:, t + 1 :]).initial_state if rest.time else 0
        norms.append(np.where(problem.counts[:, t, None], d_outputs[:, t] + of_rest, 0))
    return np.sqrt((np.stack(norms, axis=1) ** 2).sum(axis=(0, 2)))


@pytest.mark.parametrize("layer_class", [kv.VanillaRNN, layers.SimpleRNN])
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_oracle(layer_class, activation, masked):
    rng = np.random.default_rng(5)
    problem = reference.random_problem(rng, mask=masked, initial_state=False, activation=activation)
    x, mask = keras.Input((None, 4), dtype="float64"), keras.Input((None,), dtype="bool")
    layer = layer_class(6, activation=activation, return_sequences=True, dtype="float64")
    model = keras.Model([x, mask], layer(x, mask=mask))
    layer.set_weights([problem.kernel, problem.recurrent_kernel, problem.bias])
    d_outputs = rng.normal(size=(3, 5, 6))
    if masked:
        # Loss.__call__ leaves masked steps out and averages over the others; here every term must count.
        d_outputs *= problem.counts[..., None]

    def loss(y, outputs):
        return tf.reduce_sum(tf.constant(d_outputs) * tf.identity(outputs))

    model.compile(loss=_plain(loss))
    flow = gradient_flow(model, [problem.x, problem.counts], np.zeros((3, 1)))
    np.testing.assert_allclose(only(flow).norms, oracle_norms(problem, d_outputs), rtol=EXACT)


def _plain(function):
    """A loss without Keras' handling of masks."""

    class Plain(keras.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return function(y_true, y_pred)

    return Plain()


RECURRENT = {
    "vanilla": kv.VanillaRNN,
    "vanilla, unrolled": lambda units, **kwargs: kv.VanillaRNN(units, unroll=True, **kwargs),
    "lstm": layers.LSTM,
    "lstm, backwards": lambda units, **kwargs: layers.LSTM(units, go_backwards=True, **kwargs),
    "gru": layers.GRU,
    "gru, reset before": lambda units, **kwargs: layers.GRU(units, reset_after=False, **kwargs),
}


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("sequences", [False, True])
def test_equals_finite_differences(kind, sequences):
    """The same layer run in two parts, with h moved between them."""
    rng = np.random.default_rng(7)
    steps, units, move = 4, 3, 1e-5
    x = rng.normal(size=(1, steps, 2))
    layer = RECURRENT[kind](units, return_sequences=sequences, dtype="float64")
    model = keras.Sequential([keras.Input((steps, 2), dtype="float64"), layer])
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    # L = Σ_t weights_t·h_t; without sequences the last step alone counts.
    weights = rng.normal(size=(steps, units))
    if not sequences:
        weights[:-1] = 0
    flow = only(
        gradient_flow(model, x, np.zeros((1, 1)), weighted_sum(weights if sequences else weights[-1]))
    )

    config = layer.get_config() | {"return_sequences": True, "return_state": True, "go_backwards": False}
    whole = type(layer).from_config(config)
    whole.build((None, steps, 2))
    whole.set_weights(layer.get_weights())
    read = x[:, ::-1] if layer.go_backwards else x
    # Each unit up, then each unit down, all in one batch.
    moves = move * np.concatenate([np.eye(units), -np.eye(units)])
    norms = []
    for t in range(steps):
        h, *rest = (np.repeat(state, len(moves), axis=0) for state in whole(read[:, : t + 1])[1:])
        h = h + moves
        loss = h @ weights[t]
        if t + 1 < steps:
            rest_read = np.repeat(read[:, t + 1 :], len(moves), axis=0)
            outputs = np.asarray(whole(rest_read, initial_state=[h, *rest])[0])
            loss = loss + (outputs * weights[t + 1 :]).sum(axis=(1, 2))
        norms.append(np.linalg.norm((loss[:units] - loss[units:]) / (2 * move)))
    np.testing.assert_allclose(flow.norms, norms, rtol=DIFFERENCES)


@pytest.mark.parametrize("recurrent", [kv.VanillaRNN, layers.LSTM])
@pytest.mark.parametrize("side", ["pre", "post"])
def test_padding_changes_nothing(recurrent, side):
    rng = np.random.default_rng(1)
    short = rng.normal(size=(4, 6, 3)).astype("float32")
    pad = np.zeros((4, 5, 3), "float32")
    padded = np.concatenate([pad, short] if side == "pre" else [short, pad], axis=1)
    model = keras.Sequential([keras.Input((None, 3)), layers.Masking(), recurrent(4), layers.Dense(1)])
    bare, flow = (only(gradient_flow(model, x, np.ones((4, 1)), "mse")) for x in (short, padded))
    np.testing.assert_allclose(flow.decay, bare.decay, rtol=SINGLE)
    counting = slice(5, None) if side == "pre" else slice(0, 6)
    np.testing.assert_allclose(flow.norms[counting], bare.norms, rtol=SINGLE)
    assert np.isnan(flow.norms).sum() == 5


def test_with_a_target_for_every_step_the_decay_starts_at_the_last():
    """It equals the decay of a model with the same weights that returns the last step alone."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 9, 3)).astype("float32")
    y = rng.normal(size=(4, 9, 2)).astype("float32")
    every = keras.Sequential([keras.Input((9, 3)), kv.VanillaRNN(5, return_sequences=True), layers.Dense(2)])
    last = keras.Sequential([keras.Input((9, 3)), kv.VanillaRNN(5), layers.Dense(2)])
    last.set_weights(every.get_weights())
    of_every, of_last = gradient_flow(every, x, y, "mse"), gradient_flow(last, x, y[:, -1], "mse")
    np.testing.assert_allclose(only(of_every).decay, only(of_last).decay, rtol=SINGLE)
    # The norms add up the targets of all steps: at the first step, much more than the last target alone.
    norms = only(of_every).norms
    assert norms[0] / norms[-1] > 2 * only(of_every).decay[-1]


def test_the_backward_layer_ends_at_the_first_step():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(4, 9, 3)).astype("float32"), rng.normal(size=(4, 9, 2)).astype("float32")
    both = kv.Bidirectional(kv.VanillaRNN(5, return_sequences=True))
    model = keras.Sequential([keras.Input((9, 3)), both, layers.Dense(2)])
    # The same weights in both directions, and a sequence that reads the same from both ends: the flows are equal.
    both.backward_layer.set_weights(both.forward_layer.get_weights())
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.concatenate([kernel[:5], kernel[:5]]), bias])
    x, y = x + x[:, ::-1], y + y[:, ::-1]
    forward, backward = gradient_flow(model, x, y, "mse").layers
    np.testing.assert_allclose(backward.decay, forward.decay, rtol=SINGLE)


def test_a_backward_layer_below_a_forgetful_layer_does_not_explode():
    """The upper layer forgets the start of the sequence, which the lower backward layer processes last."""
    both = layers.Bidirectional(kv.VanillaRNN(6, return_sequences=True))
    model = keras.Sequential(
        [
            keras.Input((40, 3)),
            both,
            kv.VanillaRNN(5, recurrent_initializer=keras.initializers.Orthogonal(gain=0.5)),
        ]
    )
    x = np.random.default_rng(0).normal(size=(4, 40, 3)).astype("float32")
    flow = gradient_flow(model, x, np.zeros((4, 1)), lambda y, p: p)
    backward = flow.layers[1]
    assert backward.decay[0] == 1
    assert backward.horizon < 40
    assert backward.verdict.kind != "exploding"


def test_the_model_is_left_as_it_was():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(2, 5, 3)),
            kv.VanillaRNN(4, stateful=True, return_sequences=True, dropout=0.5),
            layers.LSTM(4, stateful=True),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32"), np.ones((2, 1))
    model.fit(x, y, batch_size=2, epochs=2, verbose=0)
    before = [np.array(v) for v in [*model.variables, *model.layers[0].states, *model.layers[1].states]]
    attributes = [set(vars(layer)) for layer in model.layers]
    first, second = gradient_flow(model, x, y), gradient_flow(model, x, y)
    for a, b in zip(first.layers, second.layers, strict=True):
        np.testing.assert_array_equal(a.norms, b.norms)
    after = [np.array(v) for v in [*model.variables, *model.layers[0].states, *model.layers[1].states]]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [set(vars(layer)) for layer in model.layers] == attributes
    assert "inner_loop" not in vars(model.layers[0])
    model.fit(x, y, batch_size=2, verbose=0)


def test_dictionaries_of_inputs_and_outputs():
    a, b = keras.Input((5, 2), name="a"), keras.Input((3,), name="b")
    h = kv.VanillaRNN(4, name="rnn")(a)
    outputs = {"one": layers.Dense(1)(h), "two": layers.Dense(2)(layers.concatenate([h, b]))}
    model = keras.Model({"a": a, "b": b}, outputs)
    model.compile("sgd", {"one": "mse", "two": "mse"})
    data = {"a": np.ones((2, 5, 2), "float32"), "b": np.ones((2, 3), "float32")}
    assert gradient_flow(model, data, {"one": np.ones((2, 1)), "two": np.ones((2, 2))})["rnn"].steps == 5


def test_one_program_measures_while_weights_change():
    model = linear(0.5, 20)
    x, y = np.ones((2, 20, 3), "float32"), np.ones((2, 1), "float32")
    probe = FlowProbe(model, "mse")
    first = only(probe.measure(x, y)).rate
    kernel, recurrent_kernel, bias = model.layers[0].get_weights()
    model.layers[0].set_weights([kernel, 1.6 * recurrent_kernel, bias])
    assert (first, only(probe.measure(x, y)).rate) == pytest.approx((0.5, 0.8), rel=SINGLE)


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


def test_targets_of_another_length():
    with pytest.raises(ValueError, match=r"same number of sequences, .* \[\(2, 5, 3\), \(3, 1\)\]"):
        gradient_flow(linear(1.0, 5), X, np.ones((3, 1)), "mse")


def test_missing_targets():
    with pytest.raises(ValueError, match=r"`y` must be the targets, .* Received: y=None"):
        gradient_flow(linear(1.0, 5), X, None, "mse")


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
