"""A gated cell as the exporter needs it; `quantization.cells` has the cells and their steps."""

from dataclasses import dataclass

from keras_vrnn.quantization.cells import states as rules
from keras_vrnn.quantization.cells.cell import GatedCell
from keras_vrnn.quantization.cells.formatting import Formatting
from keras_vrnn.quantization.cells.measured import Measured
from keras_vrnn.quantization.formats import span
from keras_vrnn.tflite.exporting.recurrences.activations import Activation
from keras_vrnn.tflite.exporting.recurrences.base import Cell, Formats, Step
from keras_vrnn.tflite.exporting.recurrences.lowered import Lowered
from keras_vrnn.tflite.exporting.recurrences.weights import weights_of


@dataclass(frozen=True)
class Gated(Cell):
    """One gated cell with its weights.

    Attributes:
        cell: its form, with float32 arrays.
    """

    cell: GatedCell

    @classmethod
    def of(cls, layer, kind):
        return cls(kind.of(layer.cell, weights_of(layer.cell), Activation))

    @property
    def states(self):
        return self.cell.states

    @property
    def signals(self):
        return self.cell.signals

    @property
    def projections(self):
        return self.cell.projections

    @property
    def operands(self):
        return self.cell.operands

    @property
    def units(self):
        return self.cell.products[self.projections[-1]].matrix.shape[1]

    @property
    def results(self):
        return self.states

    @property
    def matrices(self):
        return {name: product.matrix for name, product in self.cell.products.items()}

    def check(self, layer, scheme):
        for activation in self.cell.activations:
            activation.check_wide(layer, scheme)

    def project(self, x):
        on = Measured(self.cell.products)
        return tuple(on.product(name, x) for name in self.projections)

    def step(self, z_t, states):
        on = Measured(self.cell.products)
        made = self.cell.equations(on, z_t, states)
        return Step(on.signals | dict(zip(self.states, made, strict=True)), on.operands)

    def formats(self, scheme, ranges, moments):
        on = Formatting(scheme, ranges, self.cell.products, self.cell.bounded_by)
        self.cell.formats(on)
        return Formats(scheme, on.signals, moments, kept=on.kept)

    def state_span(self, scheme, ranges, state):
        held = rules.signal_format(scheme, ranges[state], self.cell.bounded_by.get(state))
        return span(held, scheme.dtype)

    def multiply_inside(self):
        features = self.cell.products[self.projections[0]].matrix.shape[0]
        return features < sum(self.cell.products[name].matrix.shape[1] for name in self.projections)

    def write_projections(self, graph, name, formats, x, flat=False):
        on = Lowered(graph, name, formats, self.cell.products)
        return tuple(on.product(projection, x, flat) for projection in self.projections)

    def write_step(self, graph, name, formats):
        on = Lowered(graph, name, formats, self.cell.products)
        return lambda z_t, states: self.cell.equations(on, z_t, states)
