"""How a step makes h_t: the derivatives of each mixture are transposes of each other and equal differences."""

import keras
import numpy as np
import pytest
from backend_arrays import assert_allclose
from keras import ops

from keras_vrnn.layers.mixtures import Leak, Replacement

RNG = np.random.default_rng(0)
C, H, DC, DH, UPSTREAM = (ops.convert_to_tensor(RNG.normal(size=(2, 3)).astype("float32")) for _ in range(5))
MASK = ops.convert_to_tensor(np.array([[True], [False]]))
LEAK = Leak(ops.convert_to_tensor(0.2), ops.convert_to_tensor(0.7))
FLOAT32 = 1e-6  # values below 10


def inner(a, b):
    return ops.sum(a * b)


def test_the_values_of_a_step():
    assert_allclose(Replacement()(C, H), C)
    assert_allclose(LEAK(C, H), 0.2 * C + 0.7 * H, atol=FLOAT32)


@pytest.mark.parametrize("mixture", [Replacement(), LEAK], ids=["replacement", "leak"])
def test_gradients_are_the_transpose_of_the_mixture(mixture):
    beside = mixture.to_state(UPSTREAM, None)
    back = inner(mixture.to_candidate(UPSTREAM), DC) + (0 if beside is None else inner(beside, DH))
    assert_allclose(back, inner(UPSTREAM, mixture(DC, DH)), atol=1e-5)  # float32 sums of 12 terms


@pytest.mark.parametrize("mixture", [Replacement(), LEAK], ids=["replacement", "leak"])
def test_a_masked_step_passes_the_whole_gradient_on(mixture):
    beside = mixture.to_state(UPSTREAM, MASK)
    counted = mixture.to_state(UPSTREAM, None)
    assert_allclose(beside[1], UPSTREAM[1])
    assert_allclose(beside[0], np.zeros(3) if counted is None else counted[0])


def test_derivatives_by_the_rates():
    d_alpha, d_beta = 0.3, -0.4
    (tangent,) = LEAK.from_rates((d_alpha, d_beta), LEAK.kept(H, C))
    # h_t is linear in the rates, so that a difference of any size is exact.
    moved = Leak(LEAK.alpha + d_alpha, LEAK.beta + d_beta)
    assert_allclose(tangent, moved(C, H) - LEAK(C, H), atol=FLOAT32)
    of_alpha, of_beta = LEAK.to_rates(UPSTREAM, H, C)
    expected = inner(UPSTREAM, tangent)
    assert_allclose(d_alpha * ops.sum(of_alpha) + d_beta * ops.sum(of_beta), expected, atol=1e-5)
    assert Replacement().from_rates((), H) == Replacement().to_rates(UPSTREAM, H, C) == ()


def test_what_is_kept_is_what_the_reverse_loop_sees():
    others = [UPSTREAM]
    assert Replacement().seen(C, [H, *others]) == (H, C, others)
    assert LEAK.seen(DH, [*LEAK.kept(H, C), *others]) == (H, C, others)
    assert keras.tree.flatten(LEAK.kept(H, C))[0] is H is Replacement().kept(H, C)
