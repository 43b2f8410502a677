"""The oracle itself: its BPTT against central differences of its forward pass."""

import numpy as np
import pytest
import reference

NAMES = ("x", "kernel", "recurrent_kernel", "bias", "initial_state")
RATES = ("alpha", "beta")


@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_bptt_equals_central_differences(activation, go_backwards, fast):
    rng = np.random.default_rng(len(activation))
    problem = reference.random_problem(
        rng,
        mask=True,
        fast=fast,
        activation=activation,
        go_backwards=go_backwards,
        dropout_mask=rng.integers(0, 2, (3, 4)) * 2.0,
        recurrent_dropout_mask=rng.integers(0, 2, (3, 6)) * 2.0,
    )
    d_outputs = rng.normal(size=(3, 5, 6))
    d_last = rng.normal(size=(3, 6))

    def loss():
        outputs = reference.forward(problem)
        return np.sum(outputs * d_outputs) + np.sum(outputs[:, -1] * d_last)

    gradients = reference.backward(problem, d_outputs, d_last)
    step = 1e-6
    for name in (*NAMES, *RATES) if fast else NAMES:
        value = getattr(problem, name)
        for index in list(np.ndindex(value.shape))[:: max(1, value.size // 8)]:
            kept = value[index]
            value[index] = kept + step
            above = loss()
            value[index] = kept - step
            below = loss()
            value[index] = kept
            # A difference of two losses, rounded to 1e-16 of their size, over 2e-6; tenfold for curvature.
            tolerance = 1e-9 * max(1000, abs(above))
            assert getattr(gradients, name)[index] == pytest.approx(
                (above - below) / (2 * step), abs=tolerance
            )
