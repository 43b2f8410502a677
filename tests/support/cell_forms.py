"""The forms of Keras' gated cells, with their weights as arrays."""

import keras
import numpy as np
from keras import layers

from keras_vrnn.compression.quantized.gated_rnn import Activation
from keras_vrnn.quantization.cells.fast import Fast
from keras_vrnn.quantization.cells.gru import GRU
from keras_vrnn.quantization.cells.lstm import LSTM
from keras_vrnn.quantization.cells.measured import Measured

FEATURES, UNITS = 3, 4


def built(cell, seed=0):
    """Returns a cell with random weights."""
    cell.build((None, FEATURES))
    rng = np.random.default_rng(seed)
    cell.set_weights([rng.normal(size=w.shape, scale=0.6) for w in cell.get_weights()])
    return cell


def form_of(cell):
    """Returns the form of a built Keras cell."""
    kind = GRU if isinstance(cell, layers.GRUCell) else LSTM
    kernel, recurrent_kernel = (np.array(w) for w in (cell.kernel, cell.recurrent_kernel))
    bias = np.zeros(kernel.shape[1], "float32") if cell.bias is None else np.array(cell.bias)
    return kind.of(cell, (kernel, recurrent_kernel, bias), Activation)


def fast_form(alpha=0.05, beta=0.95, seed=0):
    """Returns the form of a FastRNN cell."""

    class Cell:
        activation = staticmethod(keras.activations.tanh)
        units = UNITS

    rng = np.random.default_rng(seed)
    shapes = (FEATURES, UNITS), (UNITS, UNITS), (UNITS,)
    weights = [rng.normal(size=shape, scale=0.6).astype("float32") for shape in shapes]
    return Fast.of(Cell, (*weights, np.float32(alpha), np.float32(beta)), Activation)


def stepped(form, x, states):
    """Returns the new states of one step, and the arithmetic that has the signals."""
    on = Measured(form.products)
    z = tuple(on.product(name, x) for name in form.projections)
    return form.equations(on, z, states), on


def ranges_over(form, x):
    """Returns signal -> (low, high) over a sequence from zero states."""
    states = tuple(np.zeros((len(x), UNITS), "float32") for _ in form.states)
    found = {name: [] for name in (*form.operands, *form.signals)}
    for t in range(x.shape[1]):
        found["x"].append(x[:, t])
        states, on = stepped(form, x[:, t], states)
        for name, values in {**on.operands, **on.signals}.items():
            found[name].append(values)
    return {name: (float(np.min(values)), float(np.max(values))) for name, values in found.items()}
