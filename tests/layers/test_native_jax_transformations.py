"""JAX's transformations of a layer on the native kernel give the numbers that they give without it."""

import keras
import numpy as np
import pytest

jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("uses JAX as the backend of Keras", allow_module_level=True)

from native_on_jax import MASK, X, assert_same, calls, loss_of, make  # noqa: E402

pytestmark = pytest.mark.usefixtures("native_on")


# Each takes the loss as a function of weights and x, and returns arrays.
TRANSFORMATIONS = {
    "eager gradient": lambda f, w, x: jax.grad(f, (0, 1))(w, x),
    "gradient of x alone": lambda f, w, x: jax.jit(jax.grad(f, 1))(w, x),
    "jvp": lambda f, w, x: jax.jvp(f, (w, x), (w, x)),
    "compiled jvp": lambda f, w, x: jax.jit(lambda w, x: jax.jvp(f, (w, x), (w, x)))(w, x),
    "linearize": lambda f, w, x: jax.linearize(f, w, x)[1](w, x),
    "vjp twice": lambda f, w, x: jax.grad(lambda w: sum((g**2).sum() for g in jax.grad(f)(w, x)))(w),
    "compiled vjp twice": lambda f, w, x: jax.jit(jax.grad(lambda x: (jax.grad(f, 1)(w, x) ** 3).sum()))(x),
    "hessian": lambda f, w, x: jax.hessian(f)(w, x),
    "forward over reverse over reverse": lambda f, w, x: jax.jvp(
        jax.grad(lambda x: (jax.grad(f, 1)(w, x) ** 2).sum()), (x,), (x,)
    ),
    "vmap": lambda f, w, x: jax.vmap(lambda x: f(w, x[None]))(x),
    "gradient per sample": lambda f, w, x: jax.jit(jax.vmap(lambda x: jax.grad(f)(w, x[None])))(x),
    "gradient of a vmap over weights": lambda f, w, x: jax.grad(
        lambda w: jax.vmap(lambda a: f([w[0] * a, *w[1:]], x))(np.arange(3.0)).sum()
    )(w),
    "forward and reverse Jacobians": lambda f, w, x: (jax.jacfwd(f)(w, x), jax.jacrev(f)(w, x)),
    "remat": lambda f, w, x: jax.jit(jax.grad(jax.checkpoint(f)))(w, x),
    "remat with a policy": lambda f, w, x: jax.jit(
        jax.grad(jax.checkpoint(f, policy=jax.checkpoint_policies.dots_saveable))
    )(w, x),
    "Keras' remat": lambda f, w, x: jax.grad(keras.remat(f))(w, x),
    "scan": lambda f, w, x: jax.grad(
        lambda w: jax.lax.scan(lambda c, x: (c + f(w, x), None), 0.0, np.stack([x, 2 * x]))[0]
    )(w),
    "cond": lambda f, w, x: jax.grad(
        lambda w: jax.lax.cond(w[0][0, 0] > 0, f, lambda w, x: 2 * f(w, x), w, x)
    )(w),
    "a loop, forward": lambda f, w, x: jax.jvp(
        lambda w: jax.lax.fori_loop(0, 2, lambda i, c: c + f(w, x), 0.0), (w,), (w,)
    ),
    "transpose of a vjp": lambda f, w, x: jax.linear_transpose(
        lambda d: jax.vjp(f, w, x)[1](d), np.float32(1)
    )((w, x)),
    "transpose of a jvp": lambda f, w, x: jax.linear_transpose(lambda d: jax.jvp(f, (w, x), (w, d))[1], x)(
        np.float32(1)
    ),
    "an empty batch": lambda f, w, x: jax.grad(f, (0, 1))(w, x[:0]),
}


OTHER_BATCHES = ("vmap", "gradient per sample", "an empty batch")


OTHER = {"return_sequences": True, "go_backwards": True, "use_bias": False, "activation": "sigmoid"}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("options", [{}, pytest.param(OTHER, marks=pytest.mark.slow)])
def test_transformations(name, options):
    mask = None if name in OTHER_BATCHES else MASK
    loss, weights = loss_of(make(**options), mask=mask)
    assert_same(lambda: TRANSFORMATIONS[name](lambda w, x: loss(w, x), weights, X))


def test_vectorized_calls_and_derivatives_beyond_the_first_gradient_are_jaxs_own():
    loss, weights = loss_of(make())
    assert calls(jax.vmap(lambda x: loss(weights, x[None])), X) == set()
    assert calls(lambda x: jax.jvp(lambda x: loss(weights, x), (x,), (x,))[1], X) == {"keras_vrnn_recurrence"}
