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


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_weights_and_bias_mean_what_they_should(features, units, seed):
    rng = np.random.default_rng(seed)
    matrix, vector = rng.normal(size=(features, units)), rng.normal(size=units)
    integers, q = INT8.weights(matrix)
    assert integers.shape == (units, features)
    assert integers.min() >= -127  # symmetric: −128 would have no counterpart
    # half a step of rounding
    np.testing.assert_allclose(integers * q.scale[:, None], matrix.T, atol=q.scale.max() * 0.5001)
    x = Quantization(0.05, 3)
    bias, bias_q = INT8.bias(vector, x, q)
    assert bias.dtype == np.int32
    np.testing.assert_array_equal(bias_q.scale, 0.05 * q.scale)
    np.testing.assert_allclose(bias * bias_q.scale, vector, atol=bias_q.scale.max() * 0.5001)


def test_a_unit_without_weights():
    integers, q = INT8.weights(np.zeros((3, 2)))
    assert not integers.any()
    assert (q.scale > 0).all()
