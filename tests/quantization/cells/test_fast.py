"""The weights of a FastRNN."""

import numpy as np
from cell_forms import fast_form

from keras_vrnn.quantization.cells.states import leak_factors
from keras_vrnn.quantization.formats import Quantization


def test_factors_are_those_of_its_states():
    form = fast_form(alpha=0.1, beta=0.9)
    formats = {"new": Quantization(1 / 128), "h": Quantization(1 / 100)}
    assert form.factors(formats) == {"h": leak_factors(np.float32(0.1), np.float32(0.9), *formats.values())}
    assert form.bounded_by == {}
