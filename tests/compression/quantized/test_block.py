"""Gradients through integers against hand-written BPTT at the real numbers that the integers stand for."""

import keras
import numpy as np
import pytest
from covering import covering
from reference import ACTIVATIONS, relative_error

import keras_vrnn as kv
from keras_vrnn import compression

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

KINDS = [("int8", 8), ("int16x8", 8), ("int8", 4)]
# Slopes as functions of h, which is what remains of z in integers.
SLOPES = {
    "tanh": lambda h: 1 - h**2,
    "sigmoid": lambda h: h * (1 - h),
    "relu": lambda h: (h > 0) * 1.0,
    "hard_tanh": lambda h: (abs(h) < 1) * 1.0,
}


def layer_of(quantization, bits, activation="tanh", timesteps=6, **options):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((timesteps, 4), name="x")
    rnn = kv.VanillaRNN(5, activation=activation, return_sequences=True, name="rnn", **options)
    x = np.random.default_rng(4).normal(size=(3, timesteps, 4)).astype("float32")
    source = kv.Model(inputs, rnn(inputs))
    made = compression.quantize_aware(source, quantization, weight_bits=bits, calibration_data=x)
    return made, made.get_layer("rnn"), x


def bptt(x, states, start, kernel, recurrent, slope, dy, mask, order):
    """The backward pass at given states, (batch, time, units)."""
    d_kernel, d_recurrent, d_bias = np.zeros_like(kernel), np.zeros_like(recurrent), np.zeros(len(recurrent))
    dx, dh = np.zeros_like(x), np.zeros_like(start)
    for position in reversed(range(len(order))):
        t = order[position]
        before = states[:, order[position - 1]] if position else start
        dh = dh + dy[:, t]
        counts = mask[:, t, None]
        dz = np.where(counts, dh * slope(states[:, t]), 0)
        d_bias += dz.sum(0)
        d_kernel += x[:, t].T @ dz
        d_recurrent += before.T @ dz
        dx[:, t] = dz @ kernel.T
        dh = dz @ recurrent.T + np.where(counts, 0, dh)
    return dx, d_kernel, d_recurrent, d_bias


@pytest.mark.parametrize(
    ("kind", "activation", "masked", "training"), covering(KINDS, list(SLOPES), [False, True], [False, True])
)
def test_gradients(kind, activation, masked, training):
    import tensorflow as tf

    assert activation in ACTIVATIONS
    from keras_vrnn.compression.quantized.signals import format_of

    made, rnn, x = layer_of(*kind, activation)
    rounded = made.get_layer("x_integers")(tf.constant(x))
    # A training step changes the ranges that it computed with: ask before.
    step = rnn.step(format_of(rounded, rnn))
    recurrent, kernel = (np.array(w, "float64") for w in step.real_weights())
    rng = np.random.default_rng(5)
    dy = rng.normal(size=(3, 6, 5)).astype("float32")
    mask = rng.random((3, 6)) < 0.7 if masked else np.ones((3, 6), bool)
    with tf.GradientTape() as tape:
        tape.watch(rounded)
        states = rnn(rounded, mask=tf.constant(mask) if masked else None, training=training)
        loss = tf.reduce_sum(states * dy)
    weights = [rnn.cell.kernel.value, rnn.cell.recurrent_kernel.value, rnn.cell.bias.value]
    gradients = tape.gradient(loss, [rounded, *weights])
    expected = bptt(
        np.array(rounded, "float64"),
        np.array(states, "float64"),
        np.zeros((3, 5)),
        kernel,
        recurrent,
        SLOPES[activation],
        dy,
        mask,
        range(6),
    )
    for ours, theirs in zip(gradients, expected, strict=True):
        assert relative_error(ours, theirs) < 2e-6  # float32 rounding of sums over 18 steps


def test_weights_of_the_backward_pass_are_the_rounded_ones():
    """With 4 bits they are far from the float weights, so that gradients at those would be others."""
    _, rnn, _ = layer_of("int8", 4)
    from keras_vrnn.quantization.schemes import SCHEMES

    step = rnn.step(SCHEMES["int8x4"].format(-3.0, 3.0))
    recurrent, _ = step.real_weights()
    steps = np.array(recurrent) / float(step.recurrent_kernel.quantization.scale)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
    assert np.abs(steps).max() <= 7
    assert np.abs(np.array(recurrent) - np.array(rnn.cell.recurrent_kernel)).max() > 0.01


def test_dropout_masks_inputs_and_states():
    made, rnn, x = layer_of("int8", 8, dropout=0.5, recurrent_dropout=0.3)
    rounded = made.get_layer("x_integers")(x)
    still, first, second = (np.array(rnn(rounded, training=t)) for t in (False, True, True))
    assert np.any(first != second)
    assert np.any(first != still)
    assert np.isfinite(first).all()


def test_long_sequences_are_computed_in_blocks(monkeypatch):
    """States and gradients are those of a single block."""
    import tensorflow as tf

    from keras_vrnn.layers import blocks

    def run():
        made, rnn, x = layer_of("int8", 8, timesteps=70)
        with tf.GradientTape() as tape:
            states = made(x)
            loss = tf.reduce_sum(states * np.linspace(-1, 1, 5, dtype="float32"))
        return states, tape.gradient(loss, [w.value for w in rnn.trainable_weights])

    states, gradients = run()
    monkeypatch.setattr(blocks, "LONG", 64)  # two blocks of 35 steps
    in_blocks, others = run()
    np.testing.assert_array_equal(in_blocks, states)
    for ours, theirs in zip(others, gradients, strict=True):
        assert relative_error(ours, theirs) < 1e-5  # sums in another order


def test_ranges_are_measured_every_eighth_step():
    made, rnn, x = layer_of("int8", 8)
    seen = []
    for _ in range(9):
        made(5 * x, training=True)
        seen.append(np.array(rnn.signals._variable))
    assert np.any(seen[0] != np.array(layer_of("int8", 8)[1].signals._variable))
    assert all(np.array_equal(seen[0], later) for later in seen[1:8])
    assert np.any(seen[8] != seen[7])
