"""One block of steps: slopes, and BPTT against finite differences; the layer's tests compare it with the oracle."""

import keras
import numpy as np
import pytest
from backend_arrays import assert_allclose
from keras import ops

from keras_vrnn.layers.block import SLOPES, Block, forward_loop
from keras_vrnn.layers.mixtures import Leak, Replacement

RNG = np.random.default_rng(0)
X, H, R, W, B = (
    ops.convert_to_tensor(RNG.normal(size=s).astype("float32") * 0.5)
    for s in ((2, 4, 3), (2, 5), (5, 5), (3, 5), (5,))
)
MASK = ops.convert_to_tensor(np.array([[1, 0, 1, 1], [1, 1, 1, 0]], bool)[:, :, None])


@pytest.mark.parametrize("activation", list(SLOPES), ids=lambda a: a.__name__)
def test_slopes_equal_difference_quotients(activation):
    # Away from the corners of the piecewise linear activations.
    z = np.array([-3.7, -1.2, -0.4, 0.3, 0.8, 1.9, 4.4], "float64")
    step = 1e-3  # float32 on JAX: the quotient has an error of about 1e-7 / 1e-3
    above, below = (
        np.asarray(ops.convert_to_numpy(activation(ops.convert_to_tensor(z + d)))) for d in (step, -step)
    )
    slope = ops.convert_to_numpy(SLOPES[activation](activation(ops.convert_to_tensor(z))))
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
def test_forward_keeps_the_states_before_each_step(reverse, mask):
    block = Block(keras.activations.tanh, None, True, reverse, False)
    last, before = block.forward(X, mask, H, R, W, B)
    z = ops.matmul(X, W)
    run = forward_loop(keras.activations.tanh, None, {"reverse": reverse, "unroll": True}, Replacement())
    expected_last, hidden = run(z, H, R, mask, B)
    assert_allclose(last, expected_last, atol=1e-6)  # float32, values below 1
    assert_allclose(block.output(last, before), ops.transpose(hidden, (1, 0, 2)), atol=1e-6)
    assert_allclose(before[-1 if reverse else 0], H)


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
@pytest.mark.parametrize(("mixture", "rates"), [(Replacement, ()), (Leak, (0.2, 0.7))])
def test_tangents_and_bptt_are_transposes_of_each_other(mixture, rates, mask, return_sequences):
    """⟨upstream, tangents⟩ = ⟨BPTT(upstream), direction⟩, for any direction and upstream gradient."""
    block = Block(keras.activations.tanh, None, return_sequences, False, False, mixture=mixture)
    rates = [ops.convert_to_tensor(rate, dtype="float32") for rate in rates]
    arguments = (X, H, R, W, *rates, B)
    directions = [ops.convert_to_tensor(RNG.normal(size=a.shape).astype("float32")) for a in arguments]
    last, before, d_last, d_hidden = block.tangents((X, mask, *arguments[1:]), directions)
    d_output = ops.transpose(d_hidden, (1, 0, 2)) if return_sequences else d_last
    upstream = ops.convert_to_tensor(RNG.normal(size=d_output.shape).astype("float32"))
    gradients = block.backward(X, mask, last, before, *block.arriving(upstream), *arguments[2:])
    forward = float(ops.sum(upstream * d_output))
    back = sum(float(ops.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    assert back == pytest.approx(forward, rel=1e-4, abs=1e-4)  # float32 sums of a hundred terms
