"""The weights of a GRU."""

import numpy as np
import pytest
from cell_forms import FEATURES, UNITS, built, form_of
from keras import layers


@pytest.mark.parametrize(("function", "opens"), [("sigmoid", True), ("hard_sigmoid", True), ("relu", False)])
def test_the_update_gate_is_negated_where_that_is_its_complement(function, opens):
    cell = built(layers.GRUCell(UNITS, recurrent_activation=function))
    form = form_of(cell)
    assert form.opens is opens
    sign = -1 if opens else 1
    np.testing.assert_array_equal(
        form.products["x_gates"].matrix[:, :UNITS], sign * np.array(cell.kernel)[:, :UNITS]
    )
    np.testing.assert_array_equal(
        form.products["h_gates"].matrix[:, UNITS:], np.array(cell.recurrent_kernel)[:, UNITS : 2 * UNITS]
    )


def test_both_biases_of_reset_after():
    cell = built(layers.GRUCell(UNITS))
    inner, outer = np.array(cell.bias)
    form = form_of(cell)
    np.testing.assert_allclose(form.products["x_gates"].bias[UNITS:], (inner + outer)[UNITS : 2 * UNITS])
    np.testing.assert_array_equal(form.products["x_new"].bias, inner[2 * UNITS :])
    np.testing.assert_array_equal(form.products["h_new"].bias, outer[2 * UNITS :])
    before = form_of(built(layers.GRUCell(UNITS, reset_after=False)))
    assert before.products["h_new"].bias is None
    assert before.products["h_new"].operand == "reset"
    assert before.products["x_new"].matrix.shape == (FEATURES, UNITS)
