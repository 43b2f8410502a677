"""The gated recurrent unit (Cho et al. 2014), as `keras.layers.GRU` computes it.

    u = σ(x·W_u + h·R_u + b_u)                  the update gate, which Keras calls z
    r = σ(x·W_r + h·R_r + b_r)                  the reset gate
    n = φ(x·W_n + b_n + r ⊙ (h·R_n + c_n))      with reset_after=True
    n = φ(x·W_n + b_n + (r ⊙ h)·R_n)            with reset_after=False
    h_t = u ⊙ h + (1 − u) ⊙ n = h + v ⊙ (n − h)

The gate v = 1 − u is σ of the negated sum where σ(−a) = 1 − σ(a): integers near 0 tell slow units apart.
"""

from dataclasses import dataclass
from typing import Any

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization.cells.arithmetic import Product
from keras_vrnn.quantization.cells.cell import GatedCell
from keras_vrnn.quantization.cells.states import CHANGE, KEPT

_SYMMETRIC = ("sigmoid", "hard_sigmoid")  # σ(−a) = 1 − σ(a)


@dataclass(frozen=True)
class GRU(GatedCell):
    """The weights of one GRU cell.

    Attributes:
        products: the gates, u and r side by side, and the new values n.
        activation: φ.
        recurrent_activation: σ.
        opens: whether the first gate is v, else u.
        reset_after: whether r multiplies the product h·R_n, or h before it.
    """

    products: dict[str, Product]
    activation: Any
    recurrent_activation: Any
    opens: bool
    reset_after: bool

    states = ("h",)
    projections = ("x_gates", "x_new")
    signals = (
        *("x_gates", "x_new", "h_gates", "h_new", "a_gates", "gates"),
        *("reset", "a_new", "new", "h" + CHANGE, "h" + KEPT, "h"),
    )

    @classmethod
    def of(cls, cell, weights, activation):
        kernel, recurrent_kernel, bias = weights
        units, functions = cell.units, (activation(cell.activation), activation(cell.recurrent_activation))
        opens = functions[1].name in _SYMMETRIC
        gates, new = slice(None, 2 * units), slice(2 * units, None)
        gates_bias, new_bias, recurrent_bias = bias[..., gates], bias[..., new], None
        if cell.reset_after and cell.use_bias:  # (2, 3U): of the input and of the state
            gates_bias = gates_bias[0] + gates_bias[1]
            new_bias, recurrent_bias = new_bias[0], new_bias[1]
        products = {
            "x_gates": Product("x", *(_signed(w, units, opens) for w in (kernel[:, gates], gates_bias))),
            "x_new": Product("x", kernel[:, new], new_bias),
            "h_gates": Product("h", _signed(recurrent_kernel[:, gates], units, opens)),
            "h_new": Product("h" if cell.reset_after else "reset", recurrent_kernel[:, new], recurrent_bias),
        }
        return cls(products, *functions, opens, cell.reset_after)

    @property
    def bounded_by(self):
        return {"h": self.activation.name}

    @property
    def activations(self):
        return self.activation, self.recurrent_activation

    def equations(self, on, z, states):
        (x_gates, x_new), (h,) = z, states
        read = on.read("h", h)
        gates = on.activated(
            "gates", "a_gates", self.recurrent_activation, x_gates, on.product("h_gates", read)
        )
        update, reset = on.split(gates, 2)
        if self.reset_after:
            h_new = on.times("reset", reset, on.product("h_new", read))
        else:
            h_new = on.product("h_new", on.times("reset", reset, read))
        new = on.activated("new", "a_new", self.activation, x_new, h_new)
        return (on.blend("h", h, new, update, self.opens),)


def _signed(weight, units, opens):
    """Returns the weights of both gates, of which the update gate's are negated if it `opens`."""
    update, reset = weight[..., :units], weight[..., units:]
    return xp.concatenate([-update if opens else update, reset], -1)
