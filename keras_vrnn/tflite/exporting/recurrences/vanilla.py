"""The vanilla (Elman) cell: h_t = φ(x_t·W_x + h_{t-1}·W_h + b).

It has four signals, each with one format for all time steps:

    z = x·W_x + b        r = h·W_h        a = z + r        h = φ(a)
"""

from dataclasses import dataclass

import numpy as np

from keras_vrnn.quantization import vanilla
from keras_vrnn.quantization.cells.arithmetic import Product
from keras_vrnn.tflite.exporting.recurrences.activations import Activation
from keras_vrnn.tflite.exporting.recurrences.base import Cell, Formats, State, Step
from keras_vrnn.tflite.exporting.recurrences.weights import weights_of
from keras_vrnn.tflite.exporting.writing import operators as op


@dataclass(frozen=True)
class Vanilla(Cell):
    """The weights of one vanilla cell.

    Attributes:
        kernel: W_x, (features, units).
        recurrent_kernel: W_h, (units, units).
        bias: b, (units,).
        activation: φ.
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray
    activation: Activation

    states = ("h",)
    signals = ("z", "r", "a", "h")
    operands = ("x", "h")
    projections = ("z",)

    @classmethod
    def of(cls, layer):
        kernel, recurrent_kernel, bias = weights_of(layer.cell)
        return cls(kernel, recurrent_kernel, bias, Activation(layer.cell.activation))

    @property
    def units(self):
        return self.recurrent_kernel.shape[0]

    @property
    def results(self):
        return ("h",) if self.activation.name in vanilla.FUSED else ("a", "h")

    @property
    def matrices(self):
        return {"kernel": self.kernel, "recurrent_kernel": self.recurrent_kernel}

    def check(self, layer, scheme):
        self.activation.check(layer, scheme)

    def project(self, x):
        return (x @ self.kernel + self.bias,)

    def step(self, z_t, states):
        (z_t,), (h,) = z_t, states
        r = h @ self.recurrent_kernel
        a = z_t + r
        return Step({"r": r, "a": a, "h": self.activation(a)}, {"h": h})

    def formats(self, scheme, ranges, moments):
        x = scheme.format(*ranges["x"])
        weights = self.kernel, self.recurrent_kernel
        return Formats(scheme, vanilla.formats(scheme, ranges, x, *weights, self.activation.name), moments)

    def state_span(self, scheme, ranges, state):
        return scheme.output_span(self.activation.name, ranges["h"])

    def multiply_inside(self):
        features, units = self.kernel.shape
        return features < units

    def write_projections(self, graph, name, formats, x, flat=False):
        product = Product("x", self.kernel, self.bias)
        kernel, bias = formats.product("z", product, graph.quantization(x), formats.signal("z"))
        kernel = op.weights(graph, f"{name}/kernel", kernel)
        bias = graph.constant("bias", bias.array, bias.quantization)
        return (op.fully_connected(graph, "z", x, kernel, bias, formats.dtype, formats.signal("z"), flat),)

    def write_step(self, graph, name, formats):
        product = Product("h", self.recurrent_kernel)
        stored, _ = formats.product("r", product, formats.signal("h"), formats.signal("r"))
        kernel = op.weights(graph, f"{name}/recurrent_kernel", stored)

        def step(z_t, states):
            (z_t,), (h,) = z_t, states
            r = op.fully_connected(graph, "r", h.value, kernel, -1, formats.dtype, formats.signal("r"))
            h = self.activation.write(graph, z_t, r, formats.signal("a"), formats.signal("h"))
            return (State(h, h),)

        return step
