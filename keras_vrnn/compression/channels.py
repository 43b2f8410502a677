"""Which weights belong to which unit: the units of recurrent layers, followed through a model.

Every unit has a number. An array of numbers names the unit behind each entry of a tensor's last axis, and there
is such an array for each axis of a variable with an entry per unit. `FIXED` stands for entries that are never removed.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

FIXED = 0


@dataclass
class Group:
    """The units of one recurrence: its name in messages, the layer that has `units`, and the units' numbers."""

    name: str
    layer: Any
    numbers: np.ndarray
    keep: float


@dataclass(frozen=True)
class Axis:
    """An axis of a variable with an entry per unit.

    Attributes:
        variable, axis, numbers: the variable, its axis, and the unit of each entry.
        reads: whether these are the rows of a product with the units' values.
        bias: the bias that is added to the product, and the row of it that is; None where there is none.
        own: whether the product is the recurrence's own, which reads the units' values as they are.
        linear: whether a change of the values changes the product in proportion.
    """

    variable: Any
    axis: int
    numbers: np.ndarray
    reads: bool = False
    bias: tuple[Any, int | None] | None = None
    own: bool = False
    linear: bool = True


@dataclass
class Channels:
    """All that following the units through a model has found out.

    Attributes:
        groups: the recurrences with units that may be removed.
        axes: axes of variables by (id of the variable, axis).
        inputs: units of the inputs of nested models, by the id of the input tensor.
        altered: units whose values reach some reader other than as they are, such as through an activation.
        obstacles: (units, reason): these units cannot be removed.
        mixes: whether some layer's output for one unit depends on the others, as in layer normalisation.
    """

    groups: list[Group] = field(default_factory=list)
    axes: dict[tuple[int, int], Axis] = field(default_factory=dict)
    inputs: dict[int, np.ndarray] = field(default_factory=dict)
    altered: set[int] = field(default_factory=set)
    obstacles: list[tuple[np.ndarray, str]] = field(default_factory=list)
    mixes: bool = False
    _parents: list[int] = field(default_factory=lambda: [FIXED])

    @property
    def count(self):
        """How many numbers there are, `FIXED` included."""
        return len(self._parents)

    def new(self, count):
        """Returns numbers for `count` new units."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def roots(self, numbers):
        """Returns the number that stands for each unit and all those it was joined with."""
        return np.array([self._root(number) for number in np.ravel(numbers)], int)

    def selection(self, numbers, kept):
        """Returns for each entry whether its unit is among `kept`."""
        return np.array([root in kept for root in self.roots(numbers)], bool)

    def join(self, first, second, reason):
        """Lets units stay or go together, pairwise; `reason` tells the user why units joined to `FIXED` must stay."""
        if not np.array_equal(first, second):
            self.altered.update([*first, *second])
        if len(first) != len(second):  # one of them is broadcast
            self.obstruct(np.concatenate([first, second]), reason)
            return
        first, second = self.roots(first), self.roots(second)
        one_fixed = (first == FIXED) != (second == FIXED)
        self.obstruct(np.maximum(first, second)[one_fixed], reason)
        for a, b in zip(first[~one_fixed], second[~one_fixed], strict=True):
            self._parents[self._root(a)] = self._root(b)

    def obstruct(self, numbers, reason):
        self.obstacles.append((np.asarray(numbers, int), reason))

    def mark(self, variable, axis, numbers, **options):
        """Notes that an axis of a variable has an entry per unit; a layer that is called twice joins its inputs."""
        key = id(variable), axis % len(variable.shape)
        if key in self.axes:
            self.join(self.axes[key].numbers, numbers, f"`{variable.path}` also reads values that stay")
        else:
            self.axes[key] = Axis(variable, key[1], np.asarray(numbers, int), **options)

    def _root(self, number):
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number
