"""Records which weights belong to which unit of the recurrent layers.

Every unit has a number. An array of numbers gives the unit behind each entry of a tensor's last axis, and there is such
an array for each axis of a variable that has one entry per unit. `FIXED` marks entries that are never removed.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

FIXED = 0


@dataclass
class Group:
    """The units of one recurrence.

    Attributes:
        name: the name of the recurrence in messages.
        layer: the recurrent layer.
        numbers: the numbers of its units.
        keep: the share of the units that stay.
    """

    name: str
    layer: Any
    numbers: np.ndarray
    keep: float


@dataclass(frozen=True)
class Axis:
    """An axis of a variable that has one entry per unit.

    Attributes:
        variable, axis, numbers: the variable, its axis, and the unit behind each entry.
        reads: whether the entries are the rows of a matrix that multiplies the units' values.
        bias: the bias that is added to the product, and which row of it; None without a bias.
        own: whether the product belongs to the recurrence itself, which reads the units' values unchanged.
        linear: whether the product is proportional to the values.
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
    """What `Follower` finds on its way through a model.

    Attributes:
        groups: the recurrences whose units may be removed.
        axes: the axes of variables, by (id of the variable, axis).
        inputs: the units of the inputs of nested models, by the id of the input tensor.
        altered: units whose values are changed before some product reads them, such as by an activation.
        obstacles: (units, reason) pairs of units that cannot be removed.
        mixes: whether the output of some layer for one unit depends on the other units, as in layer normalization.
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
        """The count of numbers, including `FIXED`."""
        return len(self._parents)

    def new(self, count):
        """Returns numbers for `count` new units."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def roots(self, numbers):
        """Returns one number for each unit, the same for all units that are joined."""
        return np.array([self._root(number) for number in np.ravel(numbers)], int)

    def selection(self, numbers, kept):
        """Returns whether the unit of each entry is in `kept`."""
        return np.array([root in kept for root in self.roots(numbers)], bool)

    def join(self, first, second, reason):
        """Joins units pairwise, so that both stay or both go.

        `reason` is shown to the user for units that must stay because they are joined to `FIXED`.
        """
        if not np.array_equal(first, second):
            self.altered.update([*first, *second])
        if len(first) != len(second):  # one of the two is broadcast
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
        """Records an axis of a variable that has one entry per unit; a layer that is called twice joins its inputs."""
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
