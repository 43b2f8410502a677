"""The weights of an LSTM."""

import numpy as np
import pytest
from cell_forms import UNITS, built, form_of
from keras import layers


def test_gates_stand_side_by_side():
    cell = built(layers.LSTMCell(UNITS))
    form, kernel = form_of(cell), np.array(cell.kernel)
    enter, forget, new, leave = np.split(kernel, 4, axis=1)
    np.testing.assert_array_equal(form.products["x_gates"].matrix, np.hstack([enter, forget, leave]))
    np.testing.assert_array_equal(form.products["x_new"].matrix, new)
    np.testing.assert_array_equal(
        form.products["h_new"].matrix, np.array(cell.recurrent_kernel)[:, 2 * UNITS : 3 * UNITS]
    )


@pytest.mark.parametrize(("gates", "bounded"), [("sigmoid", {"h": "tanh"}), ("relu", {})])
def test_h_is_bounded_if_its_gate_is(gates, bounded):
    assert form_of(built(layers.LSTMCell(UNITS, recurrent_activation=gates))).bounded_by == bounded
