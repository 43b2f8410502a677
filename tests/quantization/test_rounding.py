"""Rounding that compensates, against rounding to nearest."""

import numpy as np

from keras_vrnn.quantization.rounding import compensated


def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 12))  # correlated inputs
    return rng.normal(size=(5, 12)), x


def test_without_a_moment_each_weight_goes_to_its_nearest_integer():
    rows, _ = problem()
    np.testing.assert_array_equal(compensated(rows, 0.02, 127), np.clip(np.round(rows / 0.02), -127, 127))


def test_the_products_with_the_data_become_more_exact():
    rows, x = problem()
    scale = 0.1
    errors = [
        np.mean((x @ (scale * compensated(rows, scale, 127, moment) - rows).T) ** 2)
        for moment in (None, (len(x), x.T @ x))
    ]
    assert errors[1] < 0.5 * errors[0]


def test_data_of_zeros_rounds_to_nearest():
    rows, _ = problem()
    zeros = (10, np.zeros((12, 12)))
    np.testing.assert_array_equal(compensated(rows, 0.02, 127, zeros), compensated(rows, 0.02, 127))
