"""States in more bits than signals."""

import numpy as np
import pytest

from keras_vrnn.quantization.cells import states
from keras_vrnn.quantization.formats import Quantization, limits
from keras_vrnn.quantization.integer import requantize
from keras_vrnn.quantization.schemes import SCHEMES

INT8 = Quantization(1 / 128, 0)
GATE = Quantization(1 / 256, -128)


def blended(gate, new, steps):
    """The int8 state after some steps towards an int8 number, with a gate that opens by gate / 256."""
    kept, held = np.int64(0), states.blend_format(INT8, GATE)
    for _ in range(steps):
        h = int(requantize(kept, held, INT8, np.int8))
        kept = kept + gate * (new - h)
    return int(requantize(kept, held, INT8, np.int8))


@pytest.mark.parametrize("gate", [1, 2, 10, 255])
def test_a_slow_unit_reaches_its_target(gate):
    """An int8 state would stop where its changes are below half a step: at a gate of 1/256, anywhere."""
    assert blended(gate, 100, 3000) == 100
    assert blended(gate, -7, 3000) == -7


def test_a_slow_unit_goes_as_fast_as_it_should():
    expected = 100 * (1 - (1 - 1 / 256) ** 256)
    assert blended(1, 100, 256) == pytest.approx(expected, abs=1.0)  # a step of int8


@pytest.mark.parametrize("largest", [1e-3, 0.7, 5.0, 200.0, 1e4])
def test_a_cell_state_fits_its_format(largest):
    held = states.cell_format((-largest / 2, largest), INT8)
    assert np.log2(held.scale / INT8.scale) % 1 == 0
    kept, added = states.cell_factors(INT8, held)
    assert 1 in (kept, added)
    assert added / kept == pytest.approx(INT8.scale / held.scale)
    if largest < 1e4:  # beyond 64 times what one step adds it saturates
        assert 32767 * held.scale >= largest
    # The sums fit int32: gates are below 2^8.
    assert 2**8 * (2**15 * kept + 2**7 * added) < 2**31


def test_an_unbounded_state_has_room_in_16_bits():
    held = states.signal_format(SCHEMES["int16x8"], (-1.0, 3.0), None)
    assert held.scale * limits(np.int16)[1] >= 6.0
    assert states.signal_format(SCHEMES["int8"], (-1.0, 3.0), "tanh") == INT8


def test_the_scale_of_a_gate_becomes_a_power_of_two():
    made = states.power_of_two(Quantization(0.003, 5))
    assert made == Quantization(2.0**-8, 5)
    assert states.power_of_two(Quantization(0.25, 0)).scale == 0.25
    assert states.one(made) == 256


def test_factors_of_a_leak():
    alpha, beta = 0.05, 0.95
    gained, lost = states.leak_factors(alpha, beta, INT8, Quantization(1 / 64))
    assert gained == round(alpha * 0.5 * 2**16)
    assert lost == round((1 - beta) * 2**16)


def test_constants_use_all_of_int16():
    integer, held = states.constant(1 / 6)
    assert (integer, integer * held.scale) == (32767, pytest.approx(1 / 6))
