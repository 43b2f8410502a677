"""The contract of a recurrent cell: what the exporter needs from it. Each file in this folder implements one cell.

A cell splits its step where the state enters:

    z_t = project(x_t)              the input product, which can be computed for all steps at once
    h_t = step(z_t, h_{t-1})

Calibration runs both in NumPy and measures the signals. The exported graph computes both with TFLite operators.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import Scheme, Stored


@dataclass(frozen=True)
class Formats:
    """The number formats of one recurrence: a scheme and the formats found by calibration.

    Attributes:
        scheme: the quantization scheme.
        signals: signal -> `Quantization`; empty if the signals are float32.
        moments: operand of a product -> (count, Σ v·vᵀ), which guides the rounding of its weights.
        products: operand of a product -> its weights and bias as a quantization-aware model has learned them.
    """

    scheme: Scheme
    signals: dict[str, Quantization] = field(default_factory=dict)
    moments: dict[str, tuple[int, Any]] = field(default_factory=dict)
    products: dict[str, tuple[Stored, Stored | None]] = field(default_factory=dict)

    @property
    def dtype(self):
        """The dtype of the signals."""
        return self.scheme.dtype

    def signal(self, name) -> Quantization | None:
        """Returns the quantization of a signal, or None if it is float32."""
        return self.signals.get(name)

    def product(self, matrix, bias, operand, x, result):
        """Returns the weights and bias as `Scheme.product` stores them; `operand` names what they multiply."""
        if operand in self.products:
            return self.products[operand]
        return self.scheme.product(matrix, bias, x, result, self.moments.get(operand))


class Cell(ABC):
    """One recurrent cell with its weights.

    Attributes:
        signals: the names of the values that are measured and get a format; the state is "h".
        operands: the names of the values that the weights multiply, which are measured too.
    """

    signals: ClassVar[tuple[str, ...]]
    operands: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def of(cls, layer) -> "Cell":
        """Returns the cell of a built Keras layer of this kind."""

    @property
    @abstractmethod
    def units(self) -> int:
        """The size of the state."""

    @property
    @abstractmethod
    def results(self) -> tuple[str, ...]:
        """The names of the signals that lose something when they are clipped.

        The terms of a sum lose nothing: their formats have no room where the sum saturates anyway.
        """

    @abstractmethod
    def check(self, layer, scheme):
        """Raises a ValueError that names the layer if the cell can't be written in a scheme."""

    @abstractmethod
    def project(self, x) -> Any:
        """Returns z = x·W_x + b of an array (..., features)."""

    @abstractmethod
    def step(self, z_t, h) -> dict[str, Any]:
        """Returns every signal of one step by name; the new state is "h"."""

    @abstractmethod
    def formats(self, scheme, ranges, moments) -> Formats:
        """Returns the number formats for measured ranges.

        Args:
            scheme: a quantization scheme with integer signals.
            ranges: signal or operand -> (low, high).
            moments: operand -> (count, Σ v·vᵀ).
        """

    @abstractmethod
    def state_span(self, scheme, ranges) -> tuple[float, float]:
        """Returns the range of real values that the state's format holds."""

    @abstractmethod
    def multiply_inside(self) -> bool:
        """Whether a loop that returns only its last state computes each z_t inside: slightly slower, smaller arena."""

    @abstractmethod
    def write_projection(self, graph, name, formats, x, flat=False) -> int:
        """Adds z = x·W_x + b to a graph and returns its tensor; `name` is the name of the recurrence."""

    @abstractmethod
    def write_step(self, graph, name, formats) -> Callable[[int, int], int]:
        """Adds the weights of a step to a graph and returns a function (z_t, h_{t-1}) → h_t that adds one step."""
