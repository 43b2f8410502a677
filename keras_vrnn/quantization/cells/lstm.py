"""The long short-term memory (Hochreiter and Schmidhuber 1997), as `keras.layers.LSTM` computes it.

    i, f, o = σ(x·W + h·R + b)          the input, forget and output gates
    g = φ(x·W_g + h·R_g + b_g)          the new values, which Keras calls c
    c_t = f ⊙ c + i ⊙ g
    h_t = o ⊙ φ(c_t)

With integers, c has 16 bits; see `states`.
"""

from dataclasses import dataclass
from typing import Any

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization.cells.arithmetic import Product
from keras_vrnn.quantization.cells.cell import GatedCell
from keras_vrnn.quantization.cells.states import ADDED, KEPT

_GATES = ("sigmoid", "hard_sigmoid")  # their outputs are between 0 and 1


@dataclass(frozen=True)
class LSTM(GatedCell):
    """The weights of one LSTM cell.

    Attributes:
        products: the gates, i, f and o side by side, and the new values g.
        activation: φ.
        recurrent_activation: σ.
    """

    products: dict[str, Product]
    activation: Any
    recurrent_activation: Any

    states = ("h", "c")
    projections = ("x_gates", "x_new")
    signals = (
        *("x_gates", "x_new", "h_gates", "h_new", "a_gates", "gates", "a_new", "new"),
        *("c" + KEPT, "c" + ADDED, "c", "c_read", "squashed", "h"),
    )

    @classmethod
    def of(cls, cell, weights, activation):
        units = cell.units
        gates, new = zip(*(_parts(weight, units) for weight in weights), strict=True)
        products = {
            "x_gates": Product("x", gates[0], gates[2]),
            "x_new": Product("x", new[0], new[2]),
            "h_gates": Product("h", gates[1]),
            "h_new": Product("h", new[1]),
        }
        return cls(products, activation(cell.activation), activation(cell.recurrent_activation))

    @property
    def bounded_by(self):
        return {"h": self.activation.name} if self.recurrent_activation.name in _GATES else {}

    @property
    def activations(self):
        return self.activation, self.recurrent_activation

    def equations(self, on, z, states):
        (x_gates, x_new), (h, c) = z, states
        read = on.read("h", h)
        h_gates, h_new = on.product("h_gates", read), on.product("h_new", read)
        gates = on.activated("gates", "a_gates", self.recurrent_activation, x_gates, h_gates)
        enter, forget, leave = on.split(gates, 3)
        new = on.activated("new", "a_new", self.activation, x_new, h_new)
        c = on.accumulate("c", c, forget, enter, new)
        squashed = on.activate("squashed", self.activation, on.read("c_read", c))
        return on.keep("h", on.times("h", leave, squashed)), c


def _parts(weight, units):
    """Returns the columns of the gates i, f, o and those of g; in Keras they are i, f, g, o."""
    first, new, last = weight[..., : 2 * units], weight[..., 2 * units : 3 * units], weight[..., 3 * units :]
    return xp.concatenate([first, last], -1), new
