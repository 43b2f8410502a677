"""The loop over time steps: every form gives the same carries and outputs."""

import keras
import numpy as np
import pytest
from backend_arrays import assert_allclose
from keras import ops

from keras_vrnn.layers.scan import scan

TIME, BATCH = 5, 2
A = np.random.default_rng(0).normal(size=(TIME, BATCH, 3)).astype("float32")
B = np.random.default_rng(1).normal(size=(BATCH, TIME, 3)).astype("float32")


def step(h, inputs):
    a, b = inputs
    new = 0.5 * h + a - b
    return new, new


def by_hand(reverse):
    h, ys = np.zeros((BATCH, 3), "float32"), np.zeros_like(A)
    for t in range(TIME)[:: -1 if reverse else 1]:
        h = 0.5 * h + A[t] - B[:, t]
        ys[t] = h
    return h, ys


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("autodiff", [False, True])
def test_equals_a_loop_by_hand(reverse, unroll, autodiff):
    given = [ops.convert_to_tensor(x) for x in (A, B)]
    init = ops.zeros((BATCH, 3))
    last, ys = scan(step, init, given[:1], given[1:], reverse=reverse, unroll=unroll, autodiff=autodiff)
    expected = by_hand(reverse)
    assert_allclose(last, expected[0], atol=1e-6)  # float32, values of about 1
    assert_allclose(ys, expected[1], atol=1e-6)


def test_carries_and_outputs_of_several_tensors():
    def two(carry, inputs):
        total, product = carry
        (a,) = inputs
        return (total + a, product * 0.9), (total, product)

    a = ops.convert_to_tensor(A)
    init = (ops.zeros((BATCH, 3)), ops.ones((BATCH, 3)))
    (total, product), (totals, products) = scan(two, init, (a,), like=init)
    assert_allclose(total, A.sum(0), atol=1e-5)  # float32 sums of 5 terms
    assert_allclose(product, np.full((BATCH, 3), 0.9**TIME), atol=1e-6)
    assert_allclose(totals[-1], A[:-1].sum(0), atol=1e-5)
    assert tuple(products.shape) == (TIME, BATCH, 3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses tf.GradientTape")
def test_derivatives_are_taken_of_the_plain_function():
    import tensorflow as tf

    from keras_vrnn.layers.scan import with_derivatives_of

    function = with_derivatives_of(lambda x: (x**3,), lambda x: (tf.stop_gradient(x**3),))
    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        (y,) = function(x)
    assert float(y) == 8
    assert float(tape.gradient(y, x)) == 12
