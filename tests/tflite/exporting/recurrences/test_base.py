"""What the exporter needs from every recurrent cell: named signals, and formats that hold them."""

import keras
import numpy as np
import pytest

from keras_vrnn.quantization.cells.arithmetic import Product
from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting.recurrences import CELLS, cell_of
from keras_vrnn.tflite.exporting.recurrences.base import Cell, Formats


@pytest.fixture(params=CELLS, ids=lambda kind: kind.__name__)
def layer(request):
    made = keras.layers.RNN(request.param(4, bias_initializer="uniform"), return_sequences=True)
    made.build((None, None, 3))
    return made


def signals_of(cell, x):
    """Every signal and operand over a sequence, by name."""
    states = tuple(np.zeros((len(x), cell.units), np.float32) for _ in cell.states)
    made = {name: [] for name in (*cell.signals, *cell.operands)}
    for t in range(x.shape[1]):
        z = cell.project(x[:, t])
        step = cell.step(z, states)
        states = tuple(step.signals[name] for name in cell.states)
        projections = dict(zip(cell.projections, z, strict=True))
        for name, values in {"x": x[:, t], **step.operands, **projections, **step.signals}.items():
            made[name].append(values)
    return {name: np.stack(values, axis=1) for name, values in made.items()}


X = np.random.default_rng(0).normal(size=(20, 7, 3)).astype("float32")


def test_steps_in_numpy_equal_keras(layer):
    own = signals_of(cell_of(layer), X)["h"]
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(layer(X)), atol=1e-6)  # float32, seven steps


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_formats_hold_every_signal(layer, scheme):
    cell, scheme = cell_of(layer), SCHEMES[scheme]
    signals = signals_of(cell, 0.3 * X)  # no sum saturates
    ranges = {name: (values.min(), values.max()) for name, values in signals.items()}
    moments = {"h": (1, np.eye(cell.units))}
    formats = cell.formats(scheme, ranges, moments)
    assert formats.moments is moments
    for name, quantization in formats.signals.items():
        low, high = span(quantization, scheme.dtype)
        # Zero is exact in an int8 format, which moves its range by up to half a step.
        assert low - quantization.scale / 2 <= ranges[name][0], name
        assert high + quantization.scale / 2 >= ranges[name][1], name
    for state in cell.states:
        assert cell.state_span(scheme, ranges, state) == span(formats.signal(state), scheme.dtype)


def test_a_cell_that_lacks_a_part_of_the_contract_is_refused():
    class Partial(Cell):
        states = signals = ("h",)

    with pytest.raises(TypeError, match="abstract"):
        Partial()


def test_float_signals_have_no_format():
    formats = Formats(SCHEMES["float32"])
    assert formats.dtype == np.float32
    assert formats.signal("h") is None


def test_the_moments_of_an_operand_guide_its_weights():
    """Inputs that are always equal: their errors of rounding may cancel, which only the moments show."""
    matrix, x = np.full((4, 1), 0.4 / 127), np.ones((5, 4))
    matrix[0] = 1.0
    moments = {"x": (5, x.T @ x)}
    formats = Formats(SCHEMES["int8"], {}, moments)
    signal = Quantization(0.1, 0)

    def error(operand):
        stored, _ = formats.product("r", Product(operand, matrix), signal, signal)
        weights = stored.array * np.reshape(stored.quantization.scale, (-1, 1))
        return np.abs(x @ weights.T - x @ matrix).max()

    # To nearest, three weights lose 0.4 steps each; together they make one step and 0.2.
    assert error("other") == pytest.approx(1.2 / 127, rel=1e-6)
    assert error("x") == pytest.approx(0.2 / 127, rel=1e-6)
