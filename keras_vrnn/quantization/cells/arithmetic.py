"""The operations of which a gated cell is made.

A cell states its step once, in these operations. Each subclass of `Arithmetic` gives them another meaning: float
numbers with their ranges (`measured`), number formats (`formatting`), operators of a file, or integers with gradients.
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
    """Operations on values, whatever these are.

    The first argument names the signal that an operation makes. A state is kept in a form of its own (`states`), which
    `read` makes a signal of.
    """

    @abstractmethod
    def product(self, name, x) -> Any:
        """x·W + b with the weights of the cell's `Product` of that name."""

    @abstractmethod
    def activated(self, name, total, function, x, y) -> Any:
        """φ(x + y); `total` names the sum, and `function` is an activation."""

    @abstractmethod
    def activate(self, name, function, x) -> Any:
        """φ(x)."""

    @abstractmethod
    def times(self, name, x, y) -> Any:
        """x ⊙ y."""

    @abstractmethod
    def split(self, x, parts) -> list[Any]:
        """The equal parts of x along its last axis."""

    @abstractmethod
    def read(self, name, state) -> Any:
        """A state as a signal."""

    @abstractmethod
    def keep(self, state, x) -> Any:
        """A signal as the new value of the state with that name."""

    @abstractmethod
    def blend(self, state, h, new, gate, opens) -> Any:
        """The state h + g ⊙ (new − h) if the gate g `opens`, else new + g ⊙ (h − new)."""

    @abstractmethod
    def accumulate(self, state, c, forget, enter, new) -> Any:
        """The state forget ⊙ c + enter ⊙ new."""

    @abstractmethod
    def leak(self, state, h, new, alpha, beta) -> Any:
        """The state α · new + β · h."""
