"""Gradients of a gated recurrence in training, against those of the float step and of its steps one after the other."""

import keras
import numpy as np
import pytest
from covering import covering
from keras import layers
from quantized_models import assert_gradients_agree, model_of, signal
from reference import relative_error

import keras_vrnn as kv
from keras_vrnn.compression.quantized import signals

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

KINDS = {
    "gru": lambda **options: layers.GRU(5, **options),
    "gru, reset before": lambda **options: layers.GRU(5, reset_after=False, **options),
    "gru of relu": lambda **options: layers.GRU(5, activation="relu", **options),
    "lstm": lambda **options: layers.LSTM(5, **options),
    "linear lstm": lambda **options: layers.LSTM(
        5, activation="linear", recurrent_activation="hard_sigmoid", **options
    ),
    "fast": lambda **options: kv.FastRNN(5, **options),
}


def step_by_step(step, x, start, states, mask, order):
    """Returns the new states of all steps, each step a function of the last; their values are `states`."""
    from keras_vrnn.compression.quantized.gated_gradients import Reals, one_step, routed

    on = Reals(step)
    z = [on.product(name, x) for name in step.cell.projections]
    made, last = [None] * len(order), start
    for t in order:
        last = one_step(step, Reals(step), last, None if mask is None else mask[t], [each[t] for each in z])
        last = [routed(new, exact[t], 1.0) for new, exact in zip(last, states, strict=True)]
        made[t] = last
    return list(zip(*made, strict=True))


@pytest.mark.parametrize(
    ("kind", "quantization", "masked", "reverse"),
    covering(list(KINDS), ["int8", "int16x8"], [False, True], [False, True]),
)
def test_gradients_through_time(kind, quantization, masked, reverse):
    import tensorflow as tf

    made = kv.compression.quantize_aware(
        model_of(KINDS[kind](return_sequences=True, name="rnn"), recurrent=False),
        quantization,
        calibration_data=signal(),
    )
    layer = made.get_layer("rnn")
    rounded = made.get_layer("x_integers")(signal()[:, :6])
    x = tf.transpose(rounded, (1, 0, 2))
    rng = np.random.default_rng(2)
    mask = tf.constant(rng.random((6, len(rounded), 1)) < 0.7) if masked else None
    weights = [each.value for each in layer.trainable_weights]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        step = layer.step(signals.format_of(rounded, layer))
        first = [
            tf.constant(rng.uniform(-0.9, 0.9, (len(rounded), 5)).astype("float32")) for _ in step.states
        ]
        tape.watch(first)
        start = [step.start(name, each) for name, each in zip(step.states, first, strict=True)]
        states, _ = step.run(x, start, mask, {}, {"reverse": reverse, "unroll": False})
        order = range(6)[::-1] if reverse else range(6)
        expected = step_by_step(step, x, [real for real, _ in start], states, mask, order)
        dy = rng.normal(size=(6, len(rounded), 5)).astype("float32")
        losses = [sum(tf.reduce_sum(dy * tf.stack(each)) for each in all_) for all_ in (states, expected)]
    ours, theirs = (tape.gradient(loss, [x, *first, *weights]) for loss in losses)
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(other).max() > 0
        assert relative_error(one, other) < 1e-5  # sums in another order


@pytest.mark.parametrize("kind", [layers.GRU, layers.LSTM, kv.FastRNN])
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_gradients_point_where_those_of_the_float_model_do(kind, quantization):
    model = model_of(kind(5, return_sequences=True), recurrent=False)
    assert_gradients_agree(kv.compression.quantize_aware(model, quantization, calibration_data=signal()))
