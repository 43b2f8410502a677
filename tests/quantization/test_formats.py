"""Number formats against the real numbers they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vrnn.quantization import formats

REAL = st.floats(-1e6, 1e6, width=32)


@given(REAL, REAL)
def test_affine_int8_holds_the_range_and_zero(a, b):
    low, high = min(a, b), max(a, b)
    q = formats.affine_int8(low, high)
    assert -128 <= q.zero_point <= 127
    ends = formats.span(q, np.int8)
    # The zero point is rounded, so an end may lie half a step inside.
    assert ends[0] <= min(low, 0) + 0.51 * q.scale
    assert ends[1] >= max(high, 0) - 0.51 * q.scale


@given(REAL, REAL)
def test_symmetric_int16_holds_the_range(a, b):
    low, high = min(a, b), max(a, b)
    q = formats.symmetric_int16(low, high)
    ends = formats.span(q, np.int16)
    assert q.zero_point == 0
    assert ends[0] == -ends[1]
    # One rounding in float64.
    assert ends[1] * (1 + 1e-12) >= min(max(abs(low), abs(high)), max(-low, high))


def test_a_signal_that_is_always_zero_has_a_format():
    assert formats.affine_int8(0.0, 0.0) == formats.Quantization(1.0, 0)
    assert formats.symmetric_int16(0.0, 0.0) == formats.Quantization(1.0, 0)


def test_int16_is_symmetric():
    assert formats.limits(np.int8) == (-128, 127)
    assert formats.limits(np.int16) == (-32767, 32767)


@given(st.floats(0.0, 1e-30, width=64))
def test_no_scale_is_too_small_for_float32(high):
    for q in (formats.affine_int8(0.0, high), formats.symmetric_int16(0.0, high)):
        assert q.scale**2 >= 2.0**-126  # the least normal float32


def test_a_format_made_coarser_keeps_its_zero_point():
    q = formats.no_finer(formats.affine_int8(-1.0, 3.0), 1.0)
    assert q == formats.Quantization(1.0, formats.affine_int8(-1.0, 3.0).zero_point)
    assert formats.no_finer(q, 0.5) == q


def test_two_integers_of_four_bits_share_a_byte():
    integers = np.array([[1, -1, 7], [-7, 0, -8]], np.int8)
    # The first in the low half, in two's complement.
    np.testing.assert_array_equal(formats.packed(integers), [0xF1, 0x97, 0x80])
    np.testing.assert_array_equal(formats.unpacked(formats.packed(integers), (2, 3)), integers)


@given(st.lists(st.integers(-8, 7), max_size=9))
def test_an_odd_number_of_them_fills_the_last_byte_with_zero(values):
    packed = formats.packed(np.array(values, np.int8))
    assert len(packed) == (len(values) + 1) // 2
    assert len(values) % 2 == 0 or packed[-1] < 16
    np.testing.assert_array_equal(formats.unpacked(packed.tobytes(), (len(values),)), values)


@pytest.mark.parametrize("exponent", [-40, -14, 0, 5])
@pytest.mark.parametrize("factor", [1.0, 32768 / 32767, 32767 / 32768, 2**0.0009, 2**-0.0009, 1.3])
def test_a_format_off_powers_of_two_is_none_for_litert(exponent, factor):
    """By `CheckedLog2` of LiteRT, which takes a scale for a power of two if its logarithm is within 0.001."""
    scale = 2.0**exponent * factor
    found = formats.off_powers_of_two(formats.Quantization(scale)).scale
    assert abs(np.log2(found) - np.round(np.log2(found))) > 0.001
    assert scale <= found <= scale * (1 + 2**-7)
    assert formats.short(formats.Quantization(found), np.int16).scale == found or factor == 1.3
