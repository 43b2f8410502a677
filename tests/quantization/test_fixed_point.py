"""Fixed-point arithmetic against exact integers and real functions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vrnn.quantization import fixed_point as fixed

INT32 = st.integers(fixed.INT32_MIN, fixed.INT32_MAX)


def half_away(fraction):
    return math.floor(abs(fraction) + Fraction(1, 2)) * (1 if fraction >= 0 else -1)


@given(st.floats(2.0**-30, 2.0**20))
def test_a_factor_has_31_bits(real):
    mantissa, exponent = fixed.factor(real)
    assert 1 << 30 <= mantissa < 1 << 31
    assert mantissa * 2.0 ** (exponent - 31) == pytest.approx(real, rel=2.0**-31)


def test_factors_that_no_product_can_use_are_zero():
    assert fixed.factor(0.0) == (0, 0)
    assert fixed.factor(2.0**-40) == (0, 0)
    assert fixed.factor(1.0 - 2.0**-40) == (1 << 30, 1)  # rounds up to 1


@given(INT32, INT32)
def test_multiply_high_rounds_halves_away_from_zero(a, b):
    expected = min(half_away(Fraction(a * b, 1 << 31)), fixed.INT32_MAX)
    if (a * b) % (1 << 31) != 1 << 30 or a * b > 0:
        assert fixed.multiply_high(a, b) == expected
    else:  # a negative half goes up: the kernels truncate (2^30 - 1 is what they add)
        assert fixed.multiply_high(a, b) in (expected, expected + 1)


@given(INT32, st.integers(0, 31))
def test_divide_by_power_rounds_halves_away_from_zero(x, exponent):
    assert fixed.divide_by_power(np.int64(x), exponent) == half_away(Fraction(x, 1 << exponent))


@given(st.integers(-(2**24), 2**24), st.floats(1e-6, 1.0))
def test_scale_is_a_product_rounded_twice(x, real):
    mantissa, exponent = fixed.factor(real)
    # Half an integer of the last rounding; half of one before the shift; and the mantissa's 31 bits.
    bound = 0.5 + 0.5 * 2.0**exponent + 2.0**-31 * abs(x * real)
    assert fixed.scale(x, mantissa, exponent) == pytest.approx(x * real, abs=bound)


@given(st.integers(-(2**40), 2**40), st.floats(1e-9, 1e-6))
def test_scale_long_has_a_factor_of_15_bits(x, real):
    assert fixed.scale_long(np.int64(x), *fixed.factor(real)) == pytest.approx(
        x * real, rel=2.0**-15, abs=0.51
    )


def test_functions_of_real_numbers():
    a = np.linspace(-15.9, 15.9, 5001)
    raw = np.round(a * (1 << 27)).astype(np.int64)  # four integer bits
    one = float(1 << 31)
    # The series is good to about 2^-24 of its value.
    np.testing.assert_allclose(fixed.tanh(raw, 4) / one, np.tanh(a), atol=2e-7)
    np.testing.assert_allclose(fixed.logistic(raw, 4) / one, 1 / (1 + np.exp(-a)), atol=2e-7)
    negative = raw[a <= 0]
    np.testing.assert_allclose(fixed.exp_of_negative(negative, 4) / one, np.exp(a[a <= 0]), atol=2e-7)
