"""The quantization schemes against the real numbers that they store."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import SCHEMES

INT8 = SCHEMES["int8"]


@pytest.mark.parametrize(
    ("activation", "function"), [("tanh", np.tanh), ("sigmoid", lambda a: 1 / (1 + np.exp(-a)))]
)
def test_saturation_range_is_lossless_and_tight(activation, function):
    state = INT8.output_format(activation)
    low, high = INT8.saturation(activation)

    def integer(a):
        return int(np.clip(round(function(a) / state.scale) + state.zero_point, -128, 127))

    for inside, end, outside in ((low + 0.01, low - 1e-9, low - 9.0), (high - 0.01, high + 1e-9, high + 9.0)):
        assert integer(end) == integer(outside)
        assert integer(inside) != integer(outside)


def test_output_formats_are_those_of_the_kernels():
    assert INT8.output_format("tanh") == Quantization(1 / 128, 0)
    assert INT8.output_format("sigmoid") == Quantization(1 / 256, -128)
    assert INT8.output_span("tanh", (-0.1, 0.1)) == (-1.0, 127 / 128)
    assert INT8.output_span("sigmoid", (0.4, 0.6)) == (0.0, 255 / 256)
    assert INT8.output_span("relu", (0.0, 3.5)) == (0.0, 3.5)


def product(name, matrix, vector, x, z):
    """Weights, bias and z's range of products, as real numbers."""
    scheme = SCHEMES[name]
    weights, bias = scheme.product(matrix, vector, x, z)
    scale = np.atleast_1d(weights.quantization.scale)
    # Symmetric: −128 and −8 would have no counterpart.
    assert np.abs(weights.array.astype(int)).max() <= (7 if weights.int4 else 127)
    np.testing.assert_allclose(bias.quantization.scale, x.scale * weights.quantization.scale)
    return weights.array * scale[:, None], bias.array * np.atleast_1d(bias.quantization.scale), bias.array


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_weights_and_bias_mean_what_they_should(features, units, seed):
    rng = np.random.default_rng(seed)
    matrix, vector = rng.normal(size=(features, units)), rng.normal(size=units)
    x, z = Quantization(0.05, 3), Quantization(0.04, -5)
    weights, bias, integers = product("int8", matrix, vector, x, z)
    step = np.abs(matrix).max(axis=0) / 127
    assert weights.shape == (units, features)
    assert integers.dtype == np.int32
    # Half a step of rounding.
    np.testing.assert_allclose(weights, matrix.T, atol=step.max() * 0.5001)
    np.testing.assert_allclose(bias, vector, atol=0.05 * step.max() * 0.5001)


@pytest.mark.parametrize("name", ["int8", "int8x4", "int16x8"])
@pytest.mark.parametrize("weight", [0.0, 1e-30, 1e-10, 1.0])
@pytest.mark.parametrize("x_scale", [2.0**-60, 1e-9, 1.0, 1e6])
def test_the_bias_is_neither_clipped_nor_rounded_away(name, weight, x_scale):
    scheme = SCHEMES[name]
    matrix = np.array([[0.5 / x_scale, weight / x_scale]])  # the second unit has tiny weights, or none
    vector = np.array([0.3, -0.9])
    x, z = Quantization(x_scale), scheme.format(-1.0, 1.0)
    weights, bias, integers = product(name, matrix, vector, x, z)
    one_scale = {"int8": None, "int8x4": 7, "int16x8": 127}[
        name
    ]  # of which the smaller weights lose up to half
    steps = np.abs(matrix.T).max() * x_scale / one_scale if one_scale else z.scale
    np.testing.assert_allclose(bias, vector, atol=max(z.scale, steps) / 2)
    assert np.abs(integers.astype(float)).max() <= 2.0 ** (46 if name == "int16x8" else 30)
    # What the weights lose is less than a step of z over the whole range of x.
    reach = np.iinfo(scheme.dtype).max * x_scale
    assert np.abs(weights[1] - matrix[:, 1]).max() * reach <= max(z.scale, 0.51 * steps * reach / x_scale)


def test_a_bias_far_beyond_the_result_does_not_overflow_its_kernel():
    for name in ("int8", "int8x4", "int16x8"):
        z = SCHEMES[name].format(-1.0, 1.0)
        _, bias, _ = product(name, np.ones((1, 1)), np.array([1e30]), Quantization(0.1), z)
        assert bias[0] / z.scale <= 2.0**30


def test_a_product_that_is_always_zero_does_not_coarsen_the_sum():
    for name in ("int8", "int8x4", "int16x8"):
        scheme = SCHEMES[name]
        z, h = scheme.format(-1.0, 1.0), scheme.output_format("tanh")
        r = scheme.product_format(0.0, 0.0, h, np.zeros((2, 2)))
        (_, r), a = scheme.sum_formats((z, r), z)
        assert a == z
        assert z.scale / r.scale <= 2.0**10  # XNNPACK's limit


def test_formats_of_a_sum_are_within_reach_of_one_another():
    scheme = SCHEMES["int8"]
    terms, result = scheme.sum_formats(
        (scheme.format(-1e6, 1e6), scheme.format(-1e-9, 1e-9)), scheme.format(-1, 1)
    )
    for term in terms:
        assert 2.0**-10 <= term.scale / result.scale < 2.0**8


@pytest.mark.parametrize("name", ["int8", "int16x8"])
@pytest.mark.parametrize("mark", [-999.0, 999.0, -1.0, 1.5, 0.5, -1e9, -0.01])
def test_a_mark_has_an_integer_that_no_value_has(name, mark):
    scheme = SCHEMES[name]
    low, high = scheme.range_with_mark(0.2, 1.0, mark)
    q = scheme.format(low, high)
    limits = np.iinfo(scheme.dtype)

    def integer(real):
        return int(np.clip(round(real / q.scale) + q.zero_point, limits.min, limits.max))

    taken = {integer(real) for real in np.linspace(0.2, 1.0, 1000) if abs(real - mark) > q.scale}
    assert integer(mark) not in taken
    assert q.scale <= 1.25 * scheme.format(0.0, 1.0).scale  # the mark costs a margin, not the whole way to it


def test_a_unit_without_weights():
    weights, _ = INT8.product(np.zeros((3, 2)), None, Quantization(0.1), Quantization(0.1))
    assert not weights.array.any()
    assert (weights.quantization.scale > 0).all()


def test_four_bits_lose_least_of_normal_weights():
    rows = np.random.default_rng(0).normal(size=(300, 300))

    def lost(scale):
        return np.mean((rows - scale * np.clip(np.round(rows / scale), -7, 7)) ** 2)

    best = min(np.linspace(0.1, 1.0, 451), key=lost)
    # The error is flat around its minimum: within 2 % of the scale it is the same in the first three digits.
    assert SCHEMES["int8x4"].weight_scales(rows) == pytest.approx(best, rel=0.02)


def test_four_bits_of_uniform_weights_reach_the_largest():
    rows = np.linspace(-1, 1, 40).reshape(4, 10)
    assert SCHEMES["int8x4"].weight_scales(rows) == pytest.approx(1 / 7)


def test_pruned_weights_do_not_change_the_scale():
    rows = np.random.default_rng(0).normal(size=(8, 12))
    wide = np.concatenate([rows, np.zeros((8, 88))], axis=1)
    assert SCHEMES["int8x4"].weight_scales(wide) == pytest.approx(SCHEMES["int8x4"].weight_scales(rows))


def test_four_bits_of_no_weights():
    weights, bias = SCHEMES["int8x4"].product(
        np.zeros((3, 2)), np.ones(2), Quantization(0.1), Quantization(0.01)
    )
    assert weights.int4
    assert not weights.array.any()
    np.testing.assert_allclose(bias.array * bias.quantization.scale, 1.0, atol=0.01)


@pytest.mark.parametrize("name", ["int8", "int8x4", "int16x8"])
def test_the_scales_of_a_product_are_a_function_of_its_weights(name):
    """Quantization-aware training relies on it: the data choose the integers, never the scale."""
    rng = np.random.default_rng(1)
    matrix, x = rng.normal(size=(12, 5)), rng.normal(size=(100, 12))
    for moment in (None, (100, x.T @ x)):
        weights, _ = SCHEMES[name].product(matrix, None, Quantization(0.02), Quantization(0.05), moment)
        np.testing.assert_array_equal(weights.quantization.scale, SCHEMES[name].weight_scales(matrix.T))
