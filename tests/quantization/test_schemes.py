"""The integer rules against the real numbers they stand for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vrnn.quantization import schemes as rules

REAL = st.floats(-1e6, 1e6, width=32)


@given(REAL, REAL)
def test_affine_int8_holds_the_range_and_zero(a, b):
    low, high = min(a, b), max(a, b)
    q = rules.affine_int8(low, high)
    assert -128 <= q.zero_point <= 127
    ends = q.scale * (np.array([-128, 127]) - q.zero_point)
    # The zero point is rounded, so an end may lie half a step inside.
    assert ends[0] <= min(low, 0) + 0.51 * q.scale
    assert ends[1] >= max(high, 0) - 0.51 * q.scale


def test_a_signal_that_is_always_zero_has_a_format():
    assert rules.affine_int8(0.0, 0.0) == rules.Quantization(1.0, 0)


@pytest.mark.parametrize(
    ("activation", "function"), [("tanh", np.tanh), ("sigmoid", lambda a: 1 / (1 + np.exp(-a)))]
)
def test_saturation_range_is_lossless_and_tight(activation, function):
    state = rules.Int8Rules.fixed_state[activation]
    low, high = rules.Int8Rules._saturation[activation]

    def integer(a):
        return int(np.clip(round(function(a) / state.scale) + state.zero_point, -128, 127))

    for inside, end, outside in ((low + 0.01, low - 1e-9, low - 9.0), (high - 0.01, high + 1e-9, high + 9.0)):
        assert integer(end) == integer(outside)
        assert integer(inside) != integer(outside)


def test_state_formats_are_those_of_the_kernels():
    assert rules.Int8Rules.fixed_state["tanh"] == rules.Quantization(1 / 128, 0)
    assert rules.Int8Rules.fixed_state["sigmoid"] == rules.Quantization(1 / 256, -128)
    assert rules.Int8Rules.state_range("tanh", (-0.1, 0.1)) == (-1.0, 127 / 128)
    assert rules.Int8Rules.state_range("sigmoid", (0.4, 0.6)) == (0.0, 255 / 256)
    assert rules.Int8Rules.state_range("relu", (0.0, 3.5)) == (0.0, 3.5)


def test_terms_get_no_more_room_than_the_saturated_sum_can_use():
    ranges = {"z": (-100.0, 2.0), "r": (-1.0, 1.0), "a": (-101.0, 3.0), "h": (-1.0, 1.0)}
    signals = rules.Int8Rules("tanh", ranges).signals
    lowest = signals["z"].scale * (-128 - signals["z"].zero_point)
    assert lowest == pytest.approx(math.atanh(-127.5 / 128) - 1.0, abs=signals["z"].scale)
    unbounded = rules.Int8Rules("linear", ranges).signals
    assert unbounded["z"].scale == pytest.approx(102.0 / 255)
    clipped = rules.Int8Rules("relu", ranges).signals  # below -1 r can't lift the sum above 0
    assert clipped["z"].scale == pytest.approx(3.0 / 255)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_weights_and_bias_mean_what_they_should(features, units, seed):
    rng = np.random.default_rng(seed)
    matrix, vector = rng.normal(size=(features, units)), rng.normal(size=units)
    rule = rules.Int8Rules("tanh", dict.fromkeys("zrah", (-1.0, 1.0)))
    integers, q = rule.weights(matrix, "x")
    assert integers.shape == (units, features)
    assert integers.min() >= -127  # symmetric: −128 would have no counterpart
    # half a step of rounding
    np.testing.assert_allclose(integers * q.scale[:, None], matrix.T, atol=q.scale.max() * 0.5001)
    x = rules.Quantization(0.05, 3)
    bias, bias_q = rule.bias(vector, x, q)
    assert bias.dtype == np.int32
    np.testing.assert_array_equal(bias_q.scale, 0.05 * q.scale)
    np.testing.assert_allclose(bias * bias_q.scale, vector, atol=bias_q.scale.max() * 0.5001)


def test_a_unit_without_weights():
    integers, q = rules.Int8Rules("tanh", dict.fromkeys("zrah", (-1.0, 1.0))).weights(np.zeros((3, 2)), "x")
    assert not integers.any()
    assert (q.scale > 0).all()
