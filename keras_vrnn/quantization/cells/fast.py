"""The FastRNN cell (Kusupati et al. 2018, arXiv:1901.02358, section 3.1).

h_t = α · φ(x_t·W_x + h_{t-1}·W_h + b) + β · h_{t-1}
"""

from dataclasses import dataclass
from typing import Any

from keras_vrnn.quantization.cells.arithmetic import Product
from keras_vrnn.quantization.cells.cell import GatedCell
from keras_vrnn.quantization.cells.states import ADDED, KEPT, leak_factors


@dataclass(frozen=True)
class Fast(GatedCell):
    """The weights of one FastRNN cell.

    Attributes:
        products: z = x·W_x + b and r = h·W_h.
        activation: φ.
        alpha, beta: α and β, one number each.
    """

    products: dict[str, Product]
    activation: Any
    alpha: Any
    beta: Any

    states = ("h",)
    projections = ("z",)
    signals = ("z", "r", "a", "new", "h" + ADDED, "h" + KEPT, "h")

    @classmethod
    def of(cls, cell, weights, activation):
        kernel, recurrent_kernel, bias, alpha, beta = weights
        products = {"z": Product("x", kernel, bias), "r": Product("h", recurrent_kernel)}
        return cls(products, activation(cell.activation), alpha, beta)

    @property
    def bounded_by(self):
        return {}

    @property
    def activations(self):
        return (self.activation,)

    def factors(self, formats):
        return {"h": leak_factors(self.alpha, self.beta, formats["new"], formats["h"])}

    def equations(self, on, z, states):
        (z,), (h,) = z, states
        new = on.activated("new", "a", self.activation, z, on.product("r", on.read("h", h)))
        return (on.leak("h", h, new, self.alpha, self.beta),)
