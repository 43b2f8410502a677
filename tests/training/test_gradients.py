"""Norms and clipping against NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vrnn.training import gradients as equations
from keras_vrnn.training.settings import GradientSettings

# float32 keeps 1.2e-7; sums of a few hundred squares lose little of it, as they are summed in float64.
FLOAT32 = 1e-6


@pytest.fixture
def arrays():
    rng = np.random.default_rng(7)
    return [rng.normal(size=shape).astype("float32") for shape in ((5, 3), (3, 7), (7,))]


def numpy_norms(arrays):
    n_i = np.array([np.sqrt(np.sum(np.float64(a) ** 2)) for a in arrays])
    return n_i, np.sqrt(np.sum(n_i**2))


def test_norms_equal_numpy(arrays):
    n_i, n = equations.norms([tf.constant(a) for a in arrays])
    expected_n_i, expected_n = numpy_norms(arrays)
    np.testing.assert_allclose(n_i, expected_n_i, rtol=FLOAT32)
    np.testing.assert_allclose(n, expected_n, rtol=FLOAT32)


def test_a_missing_gradient_has_norm_zero(arrays):
    n_i, n = equations.norms([tf.constant(arrays[0]), None, tf.constant(arrays[2])])
    assert n_i[1] == 0
    np.testing.assert_allclose(n, numpy_norms([arrays[0], arrays[2]])[1], rtol=FLOAT32)


@pytest.mark.parametrize("magnitude", [1e-30, 1e30])
def test_norms_of_gradients_whose_squares_overflow_float32(magnitude):
    n_i, n = equations.norms([tf.constant([3 * magnitude, 4 * magnitude], tf.float32), tf.zeros([2])])
    np.testing.assert_allclose(n_i, [5 * magnitude, 0], rtol=FLOAT32)
    np.testing.assert_allclose(n, 5 * magnitude, rtol=FLOAT32)


def test_a_finite_gradient_of_1e30_is_clipped_in_its_direction():
    clipped = equations.clip([tf.constant([3e30, 4e30])], GradientSettings(global_clipnorm=1.0))
    np.testing.assert_allclose(clipped.gradients[0], [0.6, 0.8], rtol=FLOAT32)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_norms_that_are_not_finite(bad):
    n_i, n = equations.norms([tf.constant([1.0, bad]), tf.ones([2])])
    assert np.isfinite(n_i).tolist() == [False, True]
    assert not np.isfinite(n)


@pytest.mark.parametrize("threshold", [0.3, 1.7, 1e6])
def test_global_clipnorm(arrays, threshold):
    clipped = equations.clip([tf.constant(a) for a in arrays], GradientSettings(global_clipnorm=threshold))
    n_i, n = numpy_norms(arrays)
    factor = min(1.0, threshold / n)
    for got, array in zip(clipped.gradients, arrays, strict=True):
        np.testing.assert_allclose(got, array * factor, rtol=FLOAT32)
    np.testing.assert_allclose(clipped.clipped_norms, n_i * factor, rtol=FLOAT32)
    np.testing.assert_allclose(clipped.clipped_global_norm, n * factor, rtol=FLOAT32)
    assert float(clipped.clipped_global_norm) <= threshold
    assert bool(clipped.changed) == (n > threshold)


@pytest.mark.parametrize("threshold", [0.3, 3.0, 1e6])
def test_clipnorm_is_per_variable(arrays, threshold):
    clipped = equations.clip([tf.constant(a) for a in arrays], GradientSettings(clipnorm=threshold))
    n_i, _ = numpy_norms(arrays)
    factors = np.minimum(1.0, threshold / n_i)
    for got, array, factor in zip(clipped.gradients, arrays, factors, strict=True):
        np.testing.assert_allclose(got, array * factor, rtol=FLOAT32)
    np.testing.assert_allclose(clipped.clipped_norms, n_i * factors, rtol=FLOAT32)
    np.testing.assert_allclose(
        clipped.clipped_global_norm, np.sqrt(np.sum((n_i * factors) ** 2)), rtol=FLOAT32
    )
    assert (np.float64(clipped.clipped_norms) <= threshold).all()
    assert bool(clipped.changed) == (n_i > threshold).any()


def test_clipvalue(arrays):
    clipped = equations.clip([tf.constant(a) for a in arrays], GradientSettings(clipvalue=0.5))
    expected = [np.clip(a, -0.5, 0.5) for a in arrays]
    for got, array in zip(clipped.gradients, expected, strict=True):
        np.testing.assert_array_equal(got, array)
    np.testing.assert_allclose(clipped.clipped_global_norm, numpy_norms(expected)[1], rtol=FLOAT32)
    assert bool(clipped.changed)


def test_gradients_within_the_bound_stay_the_same_to_the_last_bit(arrays):
    for settings in (
        GradientSettings(),
        GradientSettings(clipnorm=1e3),
        GradientSettings(global_clipnorm=1e3),
    ):
        clipped = equations.clip([tf.constant(a) for a in arrays], settings)
        for got, array in zip(clipped.gradients, arrays, strict=True):
            np.testing.assert_array_equal(got, array)
        assert not bool(clipped.changed)


def test_densify_sums_the_rows_of_one_id():
    rows = tf.IndexedSlices(
        tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), tf.constant([2, 0, 2]), tf.constant([4, 2])
    )
    np.testing.assert_array_equal(equations.densify(rows), [[3, 4], [0, 0], [6, 8], [0, 0]])
