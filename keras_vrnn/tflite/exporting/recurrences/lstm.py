"""The long short-term memory (Hochreiter and Schmidhuber 1997), as `keras.layers.LSTM` computes it.

    i, f, o = σ(x·W + h·R + b)          the input, forget and output gates
    g = φ(x·W_g + h·R_g + b_g)          the new values, which Keras calls c
    c_t = f ⊙ c + i ⊙ g
    h_t = o ⊙ φ(c_t)

With integers, c has 16 bits (Li and Alvarez 2021, arXiv:2101.05453, section 3).
"""

from dataclasses import dataclass

import numpy as np

from keras_vrnn.tflite.exporting.recurrences.activations import Activation
from keras_vrnn.tflite.exporting.recurrences.arithmetic import Product
from keras_vrnn.tflite.exporting.recurrences.gated import Gated
from keras_vrnn.tflite.exporting.recurrences.weights import weights_of

_GATES = ("sigmoid", "hard_sigmoid")  # their outputs are between 0 and 1


@dataclass(frozen=True)
class LSTM(Gated):
    """The weights of one LSTM cell.

    Attributes:
        products: the gates, i, f and o side by side, and the new values g.
        activation: φ.
        recurrent_activation: σ.
    """

    products: dict[str, Product]
    activation: Activation
    recurrent_activation: Activation

    states = ("h", "c")
    projections = ("x_gates", "x_new")
    signals = (
        *("x_gates", "x_new", "h_gates", "h_new", "a_gates", "gates", "a_new", "new"),
        *("kept", "added", "c", "squashed", "h"),
    )

    @classmethod
    def of(cls, layer):
        cell = layer.cell
        units = cell.units
        order = np.arange(4 * units).reshape(4, units)[[0, 1, 3, 2]].ravel()  # from i, f, g, o
        kernel, recurrent_kernel, bias = (weight[..., order] for weight in weights_of(cell))
        gates, new = slice(None, 3 * units), slice(3 * units, None)
        products = {
            "x_gates": Product("x", kernel[:, gates], bias[gates]),
            "x_new": Product("x", kernel[:, new], bias[new]),
            "h_gates": Product("h", recurrent_kernel[:, gates]),
            "h_new": Product("h", recurrent_kernel[:, new]),
        }
        return cls(products, Activation(cell.activation), Activation(cell.recurrent_activation))

    @property
    def bounded_by(self):
        return {"h": self.activation.name} if self.recurrent_activation.name in _GATES else {}

    @property
    def activations(self):
        return self.activation, self.recurrent_activation

    def equations(self, on, z, states):
        (x_gates, x_new), (h, c) = z, states
        read = on.narrow("h", h)
        h_gates, h_new = on.product("h_gates", read), on.product("h_new", read)
        gates = on.activated("gates", "a_gates", self.recurrent_activation, x_gates, h_gates)
        enter, forget, leave = on.split(gates, 3)
        new = on.activated("new", "a_new", self.activation, x_new, h_new)
        c = on.total("c", on.times("kept", forget, c), on.times("added", enter, new))
        return on.times("h", leave, on.activate("squashed", self.activation, c)), c
