"""The contract of a gated cell."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from keras_vrnn.quantization.cells.arithmetic import Arithmetic, Product


class GatedCell(ABC):
    """A cell of several products and gates, with its weights as arrays or tensors.

    Attributes:
        states: the names of the states; the first, "h", is the output.
        signals: the names of all values that a step makes.
        projections: the names of the products of the input; the last has as many columns as "h".
        products: name -> `Product`.
    """

    states: ClassVar[tuple[str, ...]]
    signals: ClassVar[tuple[str, ...]]
    projections: ClassVar[tuple[str, ...]]
    products: dict[str, Product]

    @classmethod
    @abstractmethod
    def of(cls, cell, weights, activation) -> "GatedCell":
        """Returns the form of a built Keras cell.

        Args:
            cell: the Keras cell.
            weights: W_x, W_h and b, arrays or tensors; zeros for a cell without bias.
            activation: a function that makes what `Arithmetic` takes as an activation of a Keras function.
        """

    @property
    @abstractmethod
    def activations(self) -> tuple[Any, ...]:
        """Every activation of the cell."""

    @property
    @abstractmethod
    def bounded_by(self) -> dict[str, str]:
        """State -> the name of the activation between whose ends it stays; the others are measured."""

    @abstractmethod
    def equations(self, on: Arithmetic, z: tuple[Any, ...], states: tuple[Any, ...]) -> tuple[Any, ...]:
        """One step.

        Args:
            on: the arithmetic.
            z: the input products, in the order of `projections`.
            states: the last states, in the order of `states`.

        Returns:
            The new states.
        """

    def factors(self, formats) -> dict[str, Any]:
        """Returns state -> its integer factors, given the format of each signal, where it has any."""
        return {}

    def formats(self, on):
        """Makes the formats of all signals of a step in the arithmetic `on`, a `Formatting`."""
        states = tuple(on.state(name) for name in self.states)
        self.equations(on, tuple(on.product(name) for name in self.projections), states)

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the values that the weights multiply."""
        return tuple(dict.fromkeys(product.operand for product in self.products.values()))
