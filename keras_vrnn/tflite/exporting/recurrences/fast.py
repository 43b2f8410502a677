"""The FastRNN cell (Kusupati et al. 2018, arXiv:1901.02358, section 3.1).

h_t = α · φ(x_t·W_x + h_{t-1}·W_h + b) + β · h_{t-1}
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_vrnn.tflite.exporting.recurrences.activations import Activation
from keras_vrnn.tflite.exporting.recurrences.arithmetic import Product
from keras_vrnn.tflite.exporting.recurrences.gated import Gated
from keras_vrnn.tflite.exporting.recurrences.weights import weights_of


@dataclass(frozen=True)
class Fast(Gated):
    """The weights of one FastRNN cell.

    Attributes:
        products: z = x·W_x + b and r = h·W_h.
        activation: φ.
        alpha, beta: α and β, (units,) each.
    """

    products: dict[str, Product]
    activation: Activation
    alpha: np.ndarray
    beta: np.ndarray

    states = ("h",)
    projections = ("z",)
    signals = ("z", "r", "a", "new", "added", "kept", "h")

    @classmethod
    def of(cls, layer):
        cell = layer.cell
        kernel, recurrent_kernel, bias = weights_of(cell)
        with tf.init_scope():
            factors = [
                np.broadcast_to(np.asarray(tf.sigmoid(w), np.float32), (cell.units,)).copy()
                for w in (cell.alpha, cell.beta)
            ]
        products = {"z": Product("x", kernel, bias), "r": Product("h", recurrent_kernel)}
        return cls(products, Activation(cell.activation), *factors)

    @property
    def bounded_by(self):
        return {}

    @property
    def activations(self):
        return (self.activation,)

    def equations(self, on, z, states):
        (z,), (h,) = z, states
        r = on.product("r", on.narrow("h", h))
        new = on.activated("new", "a", self.activation, z, r)
        return (on.total("h", on.scaled("added", new, self.alpha), on.scaled("kept", h, self.beta)),)
