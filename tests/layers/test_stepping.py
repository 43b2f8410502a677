"""The NumPy loop over the steps of a recurrence."""

import numpy as np
import pytest
import reference

from keras_vrnn.layers.stepping import run


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", [False, True])
def test_states_equal_the_oracle(mask, reverse):
    problem = reference.random_problem(
        np.random.default_rng(0), mask=mask, go_backwards=reverse, use_bias=False
    )
    z = problem.x @ problem.kernel
    states = run(
        lambda t, h: np.tanh(z[:, t] + h @ problem.recurrent_kernel),
        problem.h0,
        problem.time,
        problem.mask,
        reverse,
    )
    expected = reference.forward(problem)
    np.testing.assert_allclose(states, expected, atol=1e-12)  # float64
