"""The gated recurrent unit (Cho et al. 2014), as `keras.layers.GRU` computes it.

u = σ(x·W_u + h·R_u + b_u)                  the update gate, which Keras calls z
r = σ(x·W_r + h·R_r + b_r)                  the reset gate
n = φ(x·W_n + b_n + r ⊙ (h·R_n + c_n))      with reset_after=True
n = φ(x·W_n + b_n + (r ⊙ h)·R_n)            with reset_after=False
h_t = u ⊙ h + (1 − u) ⊙ n
"""

from dataclasses import dataclass

import numpy as np

from keras_vrnn.tflite.exporting.recurrences.activations import Activation
from keras_vrnn.tflite.exporting.recurrences.arithmetic import Product
from keras_vrnn.tflite.exporting.recurrences.gated import Gated
from keras_vrnn.tflite.exporting.recurrences.weights import weights_of


@dataclass(frozen=True)
class GRU(Gated):
    """The weights of one GRU cell.

    Attributes:
        products: the gates, u and r side by side, and the new values n.
        activation: φ.
        recurrent_activation: σ.
        reset_after: whether r multiplies the product h·R_n, or h before it.
    """

    products: dict[str, Product]
    activation: Activation
    recurrent_activation: Activation
    reset_after: bool

    states = ("h",)
    projections = ("x_gates", "x_new")
    signals = (
        *("x_gates", "x_new", "h_gates", "h_new", "a_gates", "gates"),
        *("reset", "a_new", "new", "change", "kept", "h"),
    )

    @classmethod
    def of(cls, layer):
        cell = layer.cell
        kernel, recurrent_kernel, bias = weights_of(cell)
        units = cell.units
        gates, new = slice(None, 2 * units), slice(2 * units, None)
        recurrent_bias = None
        if cell.reset_after and cell.use_bias:
            bias, recurrent_bias = bias
            bias = bias + np.where(np.arange(3 * units) < 2 * units, recurrent_bias, 0).astype(np.float32)
            recurrent_bias = recurrent_bias[new]
        products = {
            "x_gates": Product("x", kernel[:, gates], bias[gates]),
            "x_new": Product("x", kernel[:, new], bias[new]),
            "h_gates": Product("h", recurrent_kernel[:, gates]),
            "h_new": Product(
                "h" if cell.reset_after else "reset_h", recurrent_kernel[:, new], recurrent_bias
            ),
        }
        activations = Activation(cell.activation), Activation(cell.recurrent_activation)
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
