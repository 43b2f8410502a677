"""Derivatives of the native kernel's ops: first and second, forward mode, Jacobians, and what is not computed."""

import keras
import numpy as np
import pytest
from oracle_errors import NEEDS_TENSORFLOW

from keras_vrnn.layers import native_path

tf = pytest.importorskip("tensorflow")
pytestmark = [NEEDS_TENSORFLOW, pytest.mark.usefixtures("native_on")]

if keras.backend.backend() == "tensorflow":
    from native_steps import BOTH, X, assert_same, make, native_ops, off, train_step


def test_a_tape_outside_of_the_program():
    layer = make()
    forward = tf.function(lambda x: layer(x, training=True))
    assert native_ops(forward, tf.constant(X)) == BOTH[:1]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(forward(tf.constant(X))))
    assert_same(tape.gradient(loss, layer.trainable_weights), off(train_step(layer), tf.constant(X))[2:])


def test_gradients_in_inference_are_right_too():
    layer = make()
    x = tf.constant(X)

    def step():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(layer(x)))
        return tape.gradient(loss, [x, *layer.trainable_weights])

    expected = off(step)
    assert_same(step(), expected)
    with native_path.in_process():
        traced = tf.function(step)
        assert native_ops(traced) == BOTH
        assert_same(traced(), expected)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_second_derivatives(return_sequences, traced):
    layer = make(return_sequences=return_sequences)

    def step(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            gradients = train_step(layer)(x)[1:]
            penalty = tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients]) / 100.0
        return outer.gradient(penalty, [x, *layer.trainable_weights])

    found = (tf.function(step) if traced else step)(tf.constant(X))
    for a, b in zip(found, off(step, tf.constant(X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.max(abs(b)))  # float32, three passes


def test_jacobians():
    layer = make()
    x = tf.constant(X)

    def jacobian(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.batch_jacobian(y, x)

    assert_same(jacobian(x), off(jacobian, x))


def test_forward_mode():
    layer = make()

    def product(x):
        with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
            y = layer(x)
        return accumulator.jvp(y)

    assert_same(product(tf.constant(X)), off(product, tf.constant(X)))


def test_a_long_sequence_of_unknown_length_equals_one_of_known_length():
    layer = make()
    x = tf.random.normal((2, 1100, 3), seed=1)
    step = tf.function(train_step(layer), input_signature=[tf.TensorSpec((None, None, 3))])
    for a, b in zip(step(x), tf.function(train_step(layer))(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)  # sums of 2,200 terms, in another order


def test_no_array_of_all_steps_in_inference_and_no_unasked_input_gradient():
    """What makes it fast: dX is a product of its own, which TensorFlow leaves out where nobody asks for it."""
    layer = make()

    def weights_only(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x, training=True)))
        return tape.gradient(loss, layer.trainable_weights)

    graph = tf.function(weights_only).get_concrete_function(tf.constant(X)).graph
    (gradient,) = [op for op in graph.get_operations() if op.type == BOTH[1]]
    assert gradient.get_attr("inputs") is False
    (forward,) = [op for op in graph.get_operations() if op.type == BOTH[0]]
    assert forward.get_attr("keep") == 1
    with native_path.in_process():
        graph = tf.function(lambda x: layer(x)).get_concrete_function(tf.constant(X)).graph
    (forward,) = [op for op in graph.get_operations() if op.type == BOTH[0]]
    assert forward.get_attr("keep") == 0
