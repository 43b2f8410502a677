"""The float step of every cell, against Keras."""

import numpy as np
import pytest
from cell_forms import FEATURES, UNITS, built, fast_form, form_of, stepped
from keras import layers

CELLS = {
    "GRU": lambda **options: layers.GRUCell(UNITS, **options),
    "GRU, reset before": lambda **options: layers.GRUCell(UNITS, reset_after=False, **options),
    "LSTM": lambda **options: layers.LSTMCell(UNITS, **options),
}
rng = np.random.default_rng(1)
X = rng.normal(size=(5, FEATURES)).astype("float32")
STATES = [rng.normal(size=(5, UNITS), scale=0.4).astype("float32") for _ in range(2)]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("activation", "recurrent_activation"), [("tanh", "sigmoid"), ("relu", "hard_sigmoid"), ("elu", "tanh")]
)
def test_a_step_equals_keras(name, use_bias, activation, recurrent_activation):
    cell = built(
        CELLS[name](activation=activation, recurrent_activation=recurrent_activation, use_bias=use_bias)
    )
    states = STATES[: 2 if name == "LSTM" else 1]
    _, expected = cell(X, [np.array(state) for state in states])
    made, _ = stepped(form_of(cell), X, tuple(states))
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_allclose(one, np.array(other), atol=2e-6)  # float32, sums of eight terms


def test_a_step_of_fast_rnn_is_its_equation():
    form = fast_form(alpha=0.3, beta=0.6)
    z, r = form.products["z"], form.products["r"]
    expected = 0.3 * np.tanh(X @ z.matrix + z.bias + STATES[0] @ r.matrix) + 0.6 * STATES[0]
    (made,), on = stepped(form, X, (STATES[0],))
    np.testing.assert_allclose(made, expected, atol=1e-6)  # float32
    assert set(on.operands) == {"x", "h"}
