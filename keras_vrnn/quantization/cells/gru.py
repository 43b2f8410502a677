"""The gated recurrent unit (Cho et al. 2014), as `keras.layers.GRU` computes it.

u = σ(x·W_u + h·R_u + b_u)                  the update gate, which Keras calls z
r = σ(x·W_r + h·R_r + b_r)                  the reset gate
n = φ(x·W_n + b_n + r ⊙ (h·R_n + c_n))      with reset_after=True
n = φ(x·W_n + b_n + (r ⊙ h)·R_n)            with reset_after=False
h_t = u ⊙ h + (1 − u) ⊙ n
"""

from dataclasses import dataclass
from typing import Any

from keras_vrnn.quantization.cells.arithmetic import Product
from keras_vrnn.quantization.cells.cell import GatedCell


@dataclass(frozen=True)
class GRU(GatedCell):
    """The weights of one GRU cell.

    Attributes:
        products: the gates, u and r side by side, and the new values n.
        activation: φ.
        recurrent_activation: σ.
        reset_after: whether r multiplies the product h·R_n, or h before it.
    """

    products: dict[str, Product]
    activation: Any
    recurrent_activation: Any
    reset_after: bool

    states = ("h",)
    projections = ("x_gates", "x_new")
    signals = (
        *("x_gates", "x_new", "h_gates", "h_new", "a_gates", "gates"),
        *("reset", "a_new", "new", "change", "kept", "h"),
    )

    @classmethod
    def of(cls, cell, weights, activation):
        kernel, recurrent_kernel, bias = weights
        gates, new = slice(None, 2 * cell.units), slice(2 * cell.units, None)
        gates_bias, new_bias, recurrent_bias = bias[..., gates], bias[..., new], None
        if cell.reset_after and cell.use_bias:  # (2, 3U): of the input and of the state
            gates_bias = gates_bias[0] + gates_bias[1]
            new_bias, recurrent_bias = new_bias[0], new_bias[1]
        products = {
            "x_gates": Product("x", kernel[:, gates], gates_bias),
            "x_new": Product("x", kernel[:, new], new_bias),
            "h_gates": Product("h", recurrent_kernel[:, gates]),
            "h_new": Product(
                "h" if cell.reset_after else "reset_h", recurrent_kernel[:, new], recurrent_bias
            ),
        }
        activations = activation(cell.activation), activation(cell.recurrent_activation)
        return cls(products, *activations, cell.reset_after)

    @property
    def bounded_by(self):
        return {"h": self.activation.name}

    @property
    def activations(self):
        return self.activation, self.recurrent_activation

    def equations(self, on, z, states):
        (x_gates, x_new), (h,) = z, states
        read = on.narrow("h", h)
        h_gates = on.product("h_gates", read)
        gates = on.activated("gates", "a_gates", self.recurrent_activation, x_gates, h_gates)
        update, reset = on.split(gates, 2)
        if self.reset_after:
            h_new = on.times("reset", reset, on.product("h_new", read))
        else:
            h_new = on.product("h_new", on.narrow("reset_h", on.times("reset", reset, h)))
        new = on.activated("new", "a_new", self.activation, x_new, h_new)
        kept = on.times("kept", update, on.difference("change", h, new))
        return (on.total("h", new, kept),)
