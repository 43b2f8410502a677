"""The operations of which a gated cell is made.

A cell states its step once, in these operations. Each subclass of `Arithmetic` gives them another meaning: float
numbers with their ranges (`measured`), number formats (`formatting`), or operators of a file (`lowered`).

With integers there are two types of signals. *Narrow* ones have the type of the scheme and are what a product reads and
makes; *wide* ones have 16 bits, and gates, sums and states are computed in them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Product:
    """The weights of one product of a cell.

    Attributes:
        operand: the name of the signal that they multiply; "x" for the input.
        matrix: (inputs, outputs).
        bias: (outputs,) or None.
    """

    operand: str
    matrix: np.ndarray
    bias: np.ndarray | None = None


class Arithmetic(ABC):
    """Operations on values, whatever these are; the first argument names the signal that each one makes."""

    @abstractmethod
    def product(self, name, x) -> Any:
        """x·W + b, narrow, with the weights of the cell's `Product` of that name."""

    @abstractmethod
    def narrow(self, name, x) -> Any:
        """x as a narrow signal, which a product reads."""

    @abstractmethod
    def activated(self, name, total, function, x, y) -> Any:
        """φ(x + y), wide; `total` names the sum, and `function` is an `Activation`."""

    @abstractmethod
    def activate(self, name, function, x) -> Any:
        """φ(x), wide, of a wide x."""

    @abstractmethod
    def total(self, name, x, y) -> Any:
        """x + y, wide."""

    @abstractmethod
    def difference(self, name, x, y) -> Any:
        """x − y, wide."""

    @abstractmethod
    def times(self, name, x, y) -> Any:
        """x ⊙ y, wide."""

    @abstractmethod
    def scaled(self, name, x, factor) -> Any:
        """x ⊙ a constant (units,), wide."""

    @abstractmethod
    def split(self, x, parts) -> list[Any]:
        """The equal parts of x along its last axis."""
