"""The contract of a recurrent cell: what the exporter needs from it. Each file in this folder implements one cell.

A cell splits its step where its states enter:

    z_t = project(x_t)              the input products, which can be computed for all steps at once
    states_t = step(z_t, states_{t-1})

Calibration runs both in NumPy and measures the signals. The exported graph computes both with TFLite operators.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import Scheme, Stored


@dataclass(frozen=True)
class Formats:
    """The number formats of one recurrence: a scheme and the formats found by calibration.

    Attributes:
        scheme: the quantization scheme.
        signals: signal -> `Quantization`; empty if the signals are float32.
        moments: operand of a product -> (count, Σ v·vᵀ), which guides the rounding of its weights.
        products: product -> its weights and bias as a quantization-aware model has learned them.
        kept: state -> the `Quantization` and dtype in which the recurrence keeps it, if not those of the signal.
        constants: state -> its integer factors, as a quantization-aware model has learned them.
    """

    scheme: Scheme
    signals: dict[str, Quantization] = field(default_factory=dict)
    moments: dict[str, tuple[int, Any]] = field(default_factory=dict)
    products: dict[str, tuple[Stored, Stored | None]] = field(default_factory=dict)
    kept: dict[str, tuple[Quantization, Any]] = field(default_factory=dict)
    constants: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def dtype(self):
        """The dtype of the signals."""
        return self.scheme.dtype

    def signal(self, name) -> Quantization | None:
        """Returns the quantization of a signal, or None if it is float32."""
        return self.signals.get(name)

    def state(self, name) -> tuple[Any, Quantization | None]:
        """Returns the dtype and the quantization in which the recurrence keeps a state."""
        quantization, dtype = self.kept.get(name, (self.signal(name), self.dtype))
        return dtype, quantization

    def product(self, name, weights, x, result):
        """Returns the weights and bias of a `Product` as `Scheme.product` stores them, given its formats."""
        if name in self.products:
            return self.products[name]
        moment = self.moments.get(weights.operand)
        return self.scheme.product(weights.matrix, weights.bias, x, result, moment)


@dataclass(frozen=True)
class State:
    """The tensors of a state in a graph.

    Attributes:
        kept: the state as the recurrence keeps it.
        value: the state as a signal, if there is a tensor of it; the same tensor where both have one format.
    """

    kept: int
    value: int | None


@dataclass(frozen=True)
class Step:
    """What one step has computed, in float32.

    Attributes:
        signals: signal -> array, with the new states.
        operands: operand of a product -> array; of states, the last ones.
    """

    signals: dict[str, Any]
    operands: dict[str, Any]


class Cell(ABC):
    """One recurrent cell with its weights."""

    @property
    @abstractmethod
    def states(self) -> tuple[str, ...]:
        """The names of the states; the first, "h", is the output."""

    @property
    @abstractmethod
    def signals(self) -> tuple[str, ...]:
        """The names of the values that are measured and get a format, with the states."""

    @property
    @abstractmethod
    def projections(self) -> tuple[str, ...]:
        """The names of the input products; the last has as many columns as "h"."""

    @property
    @abstractmethod
    def operands(self) -> tuple[str, ...]:
        """The names of the values that the weights multiply, which are measured too."""

    @property
    @abstractmethod
    def units(self) -> int:
        """The size of each state."""

    @property
    @abstractmethod
    def results(self) -> tuple[str, ...]:
        """The names of the signals that lose something when they are clipped.

        The terms of a sum lose nothing: their formats have no room where the sum saturates anyway.
        """

    @property
    @abstractmethod
    def matrices(self) -> dict[str, Any]:
        """Name -> weights (inputs, outputs)."""

    @abstractmethod
    def check(self, layer, scheme):
        """Raises a ValueError that names the layer if the cell can't be written in a scheme."""

    @abstractmethod
    def project(self, x) -> tuple[Any, ...]:
        """Returns the input products of an array (..., features), one array for each of `projections`."""

    @abstractmethod
    def step(self, z_t, states) -> Step:
        """Computes one step, given the input products and the last states."""

    @abstractmethod
    def formats(self, scheme, ranges, moments) -> Formats:
        """Returns the number formats for measured ranges.

        Args:
            scheme: a quantization scheme with integer signals.
            ranges: signal or operand -> (low, high).
            moments: operand -> (count, Σ v·vᵀ).
        """

    @abstractmethod
    def state_span(self, scheme, ranges, state) -> tuple[float, float]:
        """Returns the range of real values that a state's format holds."""

    @abstractmethod
    def multiply_inside(self) -> bool:
        """Whether a loop that returns only its last state computes each z_t inside: slightly slower, smaller arena."""

    @abstractmethod
    def write_projections(self, graph, name, formats, x, flat=False) -> tuple[int, ...]:
        """Adds the input products to a graph and returns their tensors; `name` is the name of the recurrence."""

    @abstractmethod
    def write_step(
        self, graph, name, formats
    ) -> Callable[[tuple[int, ...], tuple[State, ...]], tuple[State, ...]]:
        """Adds the weights of a step to a graph and returns a function (z_t, states) → states that adds one step."""
