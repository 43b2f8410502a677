"""A cell of several products and gates, whose step is stated in the operations of `arithmetic`.

A subclass states its weights (`products`), which of them read the input (`projections`), and its step (`equations`).
Everything that the export needs follows from these.
"""

from abc import abstractmethod
from typing import Any

from keras_vrnn.quantization import gated
from keras_vrnn.quantization.formats import span
from keras_vrnn.tflite.exporting.recurrences.arithmetic import Arithmetic, Product
from keras_vrnn.tflite.exporting.recurrences.base import Cell, Formats, Step
from keras_vrnn.tflite.exporting.recurrences.formatting import Formatting
from keras_vrnn.tflite.exporting.recurrences.lowered import Lowered
from keras_vrnn.tflite.exporting.recurrences.measured import Measured


class Gated(Cell):
    """One gated cell with its weights.

    Attributes:
        products: name -> `Product`.
        bounded_by: state -> the name of the activation between whose ends it stays; the others are measured.
        activations: every `Activation` of the cell.
    """

    products: dict[str, Product]

    @property
    @abstractmethod
    def bounded_by(self) -> dict[str, str]: ...

    @property
    @abstractmethod
    def activations(self) -> tuple[Any, ...]: ...

    @abstractmethod
    def equations(self, on: Arithmetic, z: tuple[Any, ...], states: tuple[Any, ...]) -> tuple[Any, ...]:
        """One step: returns the new states.

        Args:
            on: the arithmetic.
            z: the input products, in the order of `projections`.
            states: the last states, in the order of `states`.
        """

    @property
    def operands(self):
        return tuple(dict.fromkeys(product.operand for product in self.products.values()))

    @property
    def units(self):
        return self.products[self.projections[-1]].matrix.shape[1]

    @property
    def results(self):
        return self.states

    @property
    def matrices(self):
        return {name: product.matrix for name, product in self.products.items()}

    def check(self, layer, scheme):
        for activation in self.activations:
            activation.check_wide(layer, scheme)

    def project(self, x):
        on = Measured(self.products)
        return tuple(on.product(name, x) for name in self.projections)

    def step(self, z_t, states):
        on = Measured(self.products)
        made = self.equations(on, z_t, states)
        return Step(on.signals | dict(zip(self.states, made, strict=True)), on.operands)

    def formats(self, scheme, ranges, moments):
        on = Formatting(scheme, ranges, self.products, self.bounded_by)
        states = tuple(on.state(name) for name in self.states)
        z = tuple(on.product(name) for name in self.projections)
        self.equations(on, z, states)
        return Formats(scheme, on.narrow_formats, moments, wide=on.wide_formats)

    def state_span(self, scheme, ranges, state):
        narrow, _ = gated.state_formats(scheme, ranges[state], self.bounded_by.get(state))
        return span(narrow, scheme.dtype)

    def multiply_inside(self):
        features = self.products[self.projections[0]].matrix.shape[0]
        return features < sum(self.products[name].matrix.shape[1] for name in self.projections)

    def write_projections(self, graph, name, formats, x, flat=False):
        on = Lowered(graph, name, formats, self.products)
        return tuple(on.product(projection, x, flat) for projection in self.projections)

    def write_step(self, graph, name, formats):
        on = Lowered(graph, name, formats, self.products)
        return lambda z_t, states: self.equations(on, z_t, states)
