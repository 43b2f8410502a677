"""Formats of every signal, from measured ranges."""

import numpy as np
import pytest
from cell_forms import FEATURES, UNITS, built, fast_form, form_of, ranges_over
from keras import layers

from keras_vrnn.quantization.cells.formatting import Formatting
from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.quantization.schemes import SCHEMES

FORMS = {
    "GRU": lambda **options: form_of(built(layers.GRUCell(UNITS, **options))),
    "LSTM": lambda **options: form_of(built(layers.LSTMCell(UNITS, **options))),
    "FastRNN": lambda: fast_form(),
}
X = np.random.default_rng(2).normal(size=(6, 9, FEATURES), scale=0.3).astype("float32")


def formats_of(form, scheme, x=X):
    ranges = ranges_over(form, x)
    on = Formatting(SCHEMES[scheme], ranges, form.products, form.bounded_by)
    form.formats(on)
    return on, ranges


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_formats_hold_every_signal(name, scheme):
    on, ranges = formats_of(FORMS[name](), scheme)
    for signal, quantization in on.signals.items():
        low, high = span(quantization, SCHEMES[scheme].dtype)
        # Zero is exact in an int8 format, which moves its range by up to half a step.
        assert low - quantization.scale / 2 <= ranges[signal][0], signal
        assert high + quantization.scale / 2 >= ranges[signal][1], signal
    for state, (quantization, dtype) in on.kept.items():
        low, high = span(quantization, dtype)
        assert (low, high) <= ranges[state] or low <= ranges[state][0] <= ranges[state][1] <= high


def test_kept_states():
    kept = {name: formats_of(FORMS[name](), "int8")[0].kept for name in FORMS}
    assert kept["GRU"]["h"] == (Quantization(2.0**-15, 0), np.int32)
    assert kept["LSTM"]["h"] == (Quantization(1 / 128, 0), np.int8)
    assert kept["LSTM"]["c"][1] == np.int16
    assert kept["FastRNN"]["h"][1] == np.int32
    assert formats_of(FORMS["GRU"](), "int16x8")[0].kept["h"] == (Quantization(1 / 32768, 0), np.int16)


def test_a_gate_that_is_not_a_sigmoid_counts_in_powers_of_two():
    on, _ = formats_of(FORMS["GRU"](recurrent_activation="relu"), "int8")
    assert np.log2(on.signals["gates"].scale) % 1 == 0


def test_the_cell_state_is_read_where_its_function_does_not_saturate():
    form = FORMS["LSTM"]()
    ranges = {**ranges_over(form, X), "c": (-5.0, 6.0), "c_read": (-5.0, 6.0)}
    on = Formatting(SCHEMES["int8"], ranges, form.products, form.bounded_by)
    form.formats(on)
    low, high = span(on.signals["c_read"], np.int8)
    assert low > -3.2  # tanh(-3.12) is -127.5 / 128
    assert high < 3.2
    low, high = span(on.signals["c"], np.int8)
    assert max(-low, high) > 4


def test_constant_signals_have_formats():
    form = FORMS["GRU"]()
    ranges = dict.fromkeys(ranges_over(form, X), (0.0, 0.0))
    on = Formatting(SCHEMES["int16x8"], ranges, form.products, form.bounded_by)
    form.formats(on)
    assert all(0 < each.scale < np.inf for each in on.signals.values())
