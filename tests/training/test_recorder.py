"""The recorder: rows that the device writes reach the sinks, in their order and without a gap."""

import numpy as np
import pytest
import tensorflow as tf
from trainings import batches, linear_model

import keras_vrnn as kv
from keras_vrnn.training.gradients import Clipped
from keras_vrnn.training.recorder import LOG_NAMES, GradientRecorder


def test_overwritten_steps_are_reported():
    model = linear_model()
    norms = kv.callbacks.GradientNorms()
    norms.set_model(model)
    x, y = batches(1)
    for _ in range(257):
        model.train_step((x, y))
    with pytest.raises(RuntimeError, match="1 steps of gradient norms were overwritten"):
        norms.steps  # noqa: B018 - reading is the point


def test_the_ring_is_at_least_twice_an_execution():
    recorder = GradientRecorder()
    recorder.build(["a"], steps_per_execution=1000)
    assert recorder._ring.shape == (2000, 5)


class Sink:
    def __init__(self):
        self.received = []

    def receive(self, rows):
        self.received.append(rows)


def step(norms, factor=1.0):
    """The norms of a step with two variables, whose gradients are clipped by a factor."""
    norms = np.float32(norms)
    size = np.float32(np.sqrt(np.sum(norms**2)))
    return Clipped([], tf.constant(norms), size, factor * norms, factor * size, tf.constant(factor < 1), None)


def test_rows_and_statistics_equal_numpy():
    recorder, sink = GradientRecorder(), Sink()
    recorder.attach(sink)
    recorder.build(["a", "b"], steps_per_execution=1)
    true, false = tf.constant(True), tf.constant(False)
    recorder.write(step([3, 4]), true, true)
    recorder.write(step([6, 8], 0.5), true, true)
    recorder.write(step([np.inf, 1]), false, true)
    recorder.write(step([30, 40]), true, false)  # accumulated only
    recorder.write(step([0, 3]), true, true)
    recorder.drain()
    (rows,) = sink.received
    assert (rows.first_step, len(rows)) == (1, 4)
    assert rows.applied.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(rows.global_norms, [[5, 5], [10, 5], [np.inf, 0], [3, 3]])
    np.testing.assert_array_equal(
        rows.variable_norms, [[[3, 4]] * 2, [[6, 8], [3, 4]], [[np.inf, 1], [0, 0]], [[0, 3]] * 2]
    )
    # Means over the three updates, in float32.
    expected = dict(zip(LOG_NAMES, (6, 13 / 3, 1 / 3, 10, 1), strict=True))
    assert recorder.logs() == pytest.approx(expected, rel=1e-6)
    recorder.reset_logs()
    assert not any(recorder.logs().values())


def test_the_ring_is_read_before_it_overflows():
    recorder, sink = GradientRecorder(), Sink()
    recorder.attach(sink)
    recorder.build(["a", "b"], steps_per_execution=3)
    true = tf.constant(True)
    for execution in range(300):
        recorder.make_room()
        for k in range(3):
            recorder.write(step([3 * execution + k + 1, 0]), true, true)
    recorder.detach(sink)
    recorder.write(step([1, 1]), true, true)
    recorder.drain()
    assert len(sink.received) > 1
    norms = np.concatenate([rows.global_norms[:, 0] for rows in sink.received])
    np.testing.assert_array_equal(norms, np.arange(1, 901))
    assert [rows.first_step for rows in sink.received] == [
        1 + sum(map(len, sink.received[:i])) for i in range(len(sink.received))
    ]


def test_the_error_of_a_step_that_is_not_finite_names_its_variables():
    recorder = GradientRecorder()
    recorder.build(["a", "b"], steps_per_execution=1, iterations=lambda: 7)
    recorder.write(step([np.nan, 1]), tf.constant(False), tf.constant(True))
    recorder.raise_if_halted()
    recorder.halt_if(tf.constant(True))
    with pytest.raises(FloatingPointError, match=r"gradient of step 8 is not finite, for a \(nan\)\."):
        recorder.raise_if_halted()
    recorder.raise_if_halted()  # once
