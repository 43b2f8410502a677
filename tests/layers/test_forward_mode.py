"""Directional derivatives (forward mode) of the layer, against the float64 oracle's gradients."""

import keras
import numpy as np
import pytest
import reference
from keras import ops
from oracle_errors import BASE, DTYPE, EVERYTHING, configured, layer_of, tolerance

import keras_vrnn as kv
from keras_vrnn.layers import blocks, recurrence

ON_JAX = keras.backend.backend() == "jax"
needs_jax = pytest.mark.skipif(not ON_JAX, reason="uses jax.jvp")
pytestmark = [
    pytest.mark.skipif(
        keras.backend.backend() == "torch", reason="PyTorch's loop is differentiated by PyTorch alone"
    ),
    pytest.mark.usefixtures("native_off"),
]


def directional_derivative(layer, problem, weighting, direction):
    """d/dε of Σ weighting·outputs as x moves along `direction`, by the backend's forward mode."""
    x, direction = (ops.convert_to_tensor(a, DTYPE) for a in (problem.x, direction))
    state = None if problem.initial_state is None else ops.convert_to_tensor(problem.initial_state, DTYPE)
    weighting = ops.convert_to_tensor(weighting, DTYPE)

    def loss(x):
        return ops.sum(weighting * layer(x, initial_state=state, mask=problem.mask, training=True))

    if ON_JAX:
        import jax

        return float(jax.jvp(loss, (x,), (direction,))[1])
    import tensorflow as tf

    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        value = loss(x)
    return float(accumulator.jvp(value))


@pytest.mark.parametrize("steps_per_block", [None, 2, 3])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize(
    "configuration", [BASE, EVERYTHING, {**EVERYTHING, "unroll": True}, {**EVERYTHING, "fast": True}]
)
def test_forward_mode_equals_the_oracle(monkeypatch, configuration, return_sequences, steps_per_block):
    if steps_per_block:
        monkeypatch.setattr(blocks, "block_size", lambda steps: min(steps_per_block, steps))
    rng = np.random.default_rng(7)
    problem, options = configured(rng, {**configuration, "return_sequences": return_sequences})
    layer = layer_of(problem, DTYPE, **{**options, "return_state": False})
    hidden = reference.forward(problem)
    weighting = rng.normal(size=hidden.shape if return_sequences else hidden[:, -1].shape)
    gradients = reference.backward(problem, *((weighting, None) if return_sequences else (None, weighting)))
    direction = rng.normal(size=problem.x.shape)
    error = directional_derivative(layer, problem, weighting, direction) - np.sum(gradients.x * direction)
    # One sum over all entries of x, in another order.
    assert abs(error) < tolerance(configuration) * np.sum(np.abs(gradients.x * direction))


def stateless(layer):
    weights = [v.value for v in layer.trainable_variables]
    frozen = [v.value for v in layer.non_trainable_variables]
    return lambda weights, x: layer.stateless_call(weights, frozen, x)[0], weights


@needs_jax
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "selu"])
def test_forward_and_reverse_jacobians_agree_for_x_and_every_weight(activation):
    import jax

    layer = kv.VanillaRNN(3, activation=activation, return_sequences=True)
    x = np.random.default_rng(0).normal(size=(2, 4, 2)).astype("float32")
    layer(x)
    function, weights = stateless(layer)
    forward, reverse = (
        jax.tree.leaves(jacobian(function, (0, 1))(weights, x)) for jacobian in (jax.jacfwd, jax.jacrev)
    )
    for a, b in zip(forward, reverse, strict=True):
        # Sums of at most 12 float32 terms.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@needs_jax
@pytest.mark.parametrize("steps_per_block", [None, 3])
def test_hessians_of_both_orders_equal_that_of_plain_autodiff(monkeypatch, steps_per_block):
    import jax

    if steps_per_block:
        monkeypatch.setattr(blocks, "block_size", lambda steps: min(steps_per_block, steps))
    layer = kv.VanillaRNN(3)
    x = np.random.default_rng(0).normal(size=(2, 5, 2)).astype("float32")
    layer(x)
    function, weights = stateless(layer)

    def loss(weights):
        return (function(weights, x) ** 3).sum()

    found = [jax.hessian(loss)(weights), jax.jacrev(jax.jacrev(loss))(weights)]
    monkeypatch.setattr(recurrence, "gradient_rule", lambda cell: "autodiff")
    plain = jax.hessian(loss)(weights)
    for hessian in found:
        for a, b in zip(jax.tree.leaves(hessian), jax.tree.leaves(plain), strict=True):
            # Sums of a few hundred float32 terms.
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@needs_jax
def test_layer_inside_vmap_and_jit_with_a_mask():
    import jax

    layer = kv.VanillaRNN(3)
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 2)).astype("float32")
    mask = np.random.default_rng(1).random((4, 2, 5)) < 0.7
    layer(x[0])

    def gradient(x, mask):
        return jax.grad(lambda x: layer(x, mask=mask).sum())(x)

    together = jax.jit(jax.vmap(gradient))(x, mask)
    for k in range(4):
        np.testing.assert_allclose(together[k], gradient(x[k], mask[k]), rtol=1e-4, atol=1e-6)  # float32
