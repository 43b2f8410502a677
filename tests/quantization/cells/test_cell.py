"""What each cell states about itself agrees with what its step does."""

import numpy as np
import pytest
from cell_forms import FEATURES, UNITS, built, fast_form, form_of, stepped
from keras import layers

FORMS = {
    "GRU": lambda: form_of(built(layers.GRUCell(UNITS))),
    "GRU, reset before": lambda: form_of(built(layers.GRUCell(UNITS, reset_after=False))),
    "LSTM": lambda: form_of(built(layers.LSTMCell(UNITS))),
    "FastRNN": fast_form,
}


@pytest.mark.parametrize("name", FORMS)
def test_names_of_signals_operands_and_states(name):
    form = FORMS[name]()
    x, zeros = np.ones((2, FEATURES), "float32"), np.zeros((2, UNITS), "float32")
    made, on = stepped(form, x, (zeros,) * len(form.states))
    assert len(made) == len(form.states)
    assert set(on.signals) == set(form.signals)
    assert set(on.operands) == set(form.operands)
    assert form.products[form.projections[-1]].matrix.shape == (FEATURES, UNITS)
    assert form.states[0] == "h"


def test_only_fast_rnn_has_factors():
    form = FORMS["GRU"]()
    assert form.factors({}) == {}
