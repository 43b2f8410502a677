"""Calls of the library in programs of XLA: sizes of results, and what is refused. Numbers: tests/layers."""

import keras
import numpy as np
import pytest

jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("uses JAX as the backend of Keras", allow_module_level=True)

from keras_vrnn.native import jax_kernel, kernel  # noqa: E402

pytestmark = pytest.mark.usefixtures("native_on")

# x, h_0, W_x, W_h, b, mask, r.
SHAPES = [(6, 9, 3), (6, 5), (3, 5), (5, 5), (5,), (6, 9), (6, 5)]


def ones(shapes):
    return kernel.Recurrence(*(np.ones(s, "bool" if n == 5 else "float32") for n, s in enumerate(shapes)))


def forward(given, keep=kernel.ALL, **changed):
    settings = {**jax_kernel.settings("tanh", False), **changed}
    return jax.block_until_ready(jax_kernel.forward(given, settings, keep))


@pytest.mark.parametrize(
    ("steps", "keep", "kept"),
    [
        (9, kernel.NOTHING, 0),
        (9, kernel.FOR_GRADIENT, 9),
        (1100, kernel.FOR_GRADIENT, 18),
        (1100, kernel.ALL, 1100),
    ],
)
def test_what_is_kept(steps, keep, kept):
    shapes = [(6, steps, 3), *SHAPES[1:5]]
    assert jax_kernel.kept_steps(steps, keep) == kept
    assert [a.shape for a in forward(ones(shapes), keep)] == [(6, 5), (6, kept, 5)]


def test_the_gradient_of_what_is_given():
    given = ones(SHAPES)
    last, hidden = forward(given)
    settings = jax_kernel.settings("tanh", False)
    found = jax_kernel.gradient(given, settings, hidden, last, None, True)
    assert [g.shape for g in found] == [(0, 9, 5), *SHAPES[:5]]
    found = jax_kernel.gradient(given._replace(bias=None), settings, hidden, None, hidden, False)
    assert [g.shape for g in found] == [(0, 9, 5), (0, 9, 3), *SHAPES[1:4], (0,)]


@pytest.mark.parametrize(
    ("index", "shape"),
    [(1, (6, 4)), (1, (5, 5)), (2, (4, 5)), (3, (5, 4)), (4, (4,)), (5, (6, 8)), (6, (6, 4))],
)
def test_shapes_that_do_not_belong_together_are_errors(index, shape):
    shapes = list(SHAPES)
    shapes[index] = shape
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"INVALID_ARGUMENT.*recurrence"):
        forward(ones(shapes))


def test_other_types_are_errors():
    given = ones(SHAPES)
    with pytest.raises(jax.errors.JaxRuntimeError, match="takes float32, and a mask of bool"):
        forward(given._replace(mask=np.ones((6, 9), "int8")))


@pytest.mark.parametrize(("name", "value"), [("activation", 4), ("unknown", 1)])
def test_other_attributes_are_errors(name, value):
    with pytest.raises(jax.errors.JaxRuntimeError, match="recurrence"):
        forward(ones(SHAPES), **{name: value})
