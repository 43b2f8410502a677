"""What the exporter must be given of a recurrent cell: the contract that each file beside this one fulfils.

A cell splits its step at the point where the state comes in:

    z_t = project(x_t)              the input product, which may be made for all steps at once
    h_t = step(z_t, h_{t-1})

Calibration runs these in NumPy and measures the signals; the file's graph holds the same two in TFLite operators.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import Scheme


@dataclass(frozen=True)
class Formats:
    """The number formats of one recurrence: a scheme, and what calibration made of it.

    Attributes:
        scheme: the quantization scheme.
        signals: signal -> `Quantization`; empty where signals are float32.
        moments: operand of a product -> (count, Σ v·vᵀ), by which its weights are rounded.
    """

    scheme: Scheme
    signals: dict[str, Quantization] = field(default_factory=dict)
    moments: dict[str, tuple[int, Any]] = field(default_factory=dict)

    @property
    def dtype(self):
        """The dtype of the signals."""
        return self.scheme.dtype

    def signal(self, name) -> Quantization | None:
        """Returns the quantization of a signal, None if it is float32."""
        return self.signals.get(name)

    def product(self, matrix, bias, operand, x, result):
        """Returns what `Scheme.product` does, for weights that are multiplied with `operand`."""
        return self.scheme.product(matrix, bias, x, result, self.moments.get(operand))


class Cell(ABC):
    """One recurrent cell with its weights.

    Attributes:
        signals: names of what is measured and given a format; the state is "h".
        operands: names of what weights are multiplied with; measured too.
    """

    signals: ClassVar[tuple[str, ...]]
    operands: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def of(cls, layer) -> "Cell":
        """Reads the weights off a built Keras layer of this kind."""

    @property
    @abstractmethod
    def units(self) -> int:
        """Size of the state."""

    @abstractmethod
    def check(self, layer, scheme):
        """Raises ValueError, with the layer's name, if the cell can't be written in a scheme."""

    @abstractmethod
    def project(self, x) -> Any:
        """Returns z = x·W_x + b of an array (..., features)."""

    @abstractmethod
    def step(self, z_t, h) -> dict[str, Any]:
        """Returns every signal that one step makes, by name; the new state is "h"."""

    @abstractmethod
    def formats(self, scheme, ranges, moments) -> Formats:
        """Returns the number formats for measured ranges.

        Args:
            scheme: the quantization scheme, one with integer signals.
            ranges: signal or operand -> (low, high).
            moments: operand -> (count, Σ v·vᵀ).
        """

    @abstractmethod
    def state_span(self, scheme, ranges) -> tuple[float, float]:
        """Returns the range of real values that the state's format holds."""

    @abstractmethod
    def multiply_inside(self) -> bool:
        """Whether a loop that gives its last state only makes each z_t itself: a little slower, smaller arena."""

    @abstractmethod
    def write_projection(self, graph, name, formats, x, flat=False) -> int:
        """Adds z = x·W_x + b to a graph and returns its tensor; `name` is the recurrence's."""

    @abstractmethod
    def write_step(self, graph, name, formats) -> Callable[[int, int], int]:
        """Adds the weights of a step to a graph; returns the function (z_t, h_{t-1}) → h_t that adds one step."""
