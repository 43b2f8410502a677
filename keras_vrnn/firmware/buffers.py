"""The memory of a C program: buffers, views of their values, and positions that move with a loop."""

from dataclasses import dataclass
from typing import Any

import numpy as np

# How many values the kernels may read beyond the end of their input, in memory of the program.
READ_BEYOND = 7


class Unsupported(ValueError):
    """The reason why a file can't become C, such as "holds the operator GELU"."""


@dataclass(eq=False)
class Buffer:
    """Memory for the values of a tensor.

    Attributes:
        dtype: the type of the values; bool is stored as 0 and 1 in an int8.
        size: how many there are.
        place: "constant", "input", "output" or "state"; "" for scratch memory.
        name: its name in C, except for scratch memory.
        array: the values of a constant; the values with which a state starts.
        shared: another buffer whose memory this one uses.
        offset: where it begins in the scratch memory of its type; the plan sets it.
    """

    dtype: np.dtype
    size: int
    place: str = ""
    name: str = ""
    array: Any = None
    shared: "Buffer | None" = None
    offset: int = 0

    @property
    def memory(self):
        """The buffer whose memory this one uses in the end."""
        return self if self.shared is None else self.shared.memory

    @property
    def stored(self):
        """The type of the memory."""
        return np.dtype(np.int8) if self.dtype == np.bool_ else self.dtype


@dataclass(frozen=True)
class View:
    """Consecutive values of a buffer, from `offset + slope · turn` on."""

    buffer: Buffer
    shape: tuple
    offset: int = 0
    slope: int = 0

    @property
    def size(self):
        """How many values there are."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self):
        """The type of the values."""
        return self.buffer.dtype

    @property
    def whole(self):
        """Whether it is all of the buffer."""
        return self.offset == 0 and self.slope == 0 and self.size == self.buffer.size

    def reshaped(self, shape):
        """The same values in another shape."""
        return View(self.buffer, tuple(shape), self.offset, self.slope)


@dataclass(frozen=True)
class Counter:
    """Integers that grow by constants from turn to turn of a loop: base + slope · turn, two arrays."""

    base: np.ndarray
    slope: np.ndarray

    def at(self, turn):
        """The integers in a turn, int32."""
        return (self.base + self.slope * turn).astype(np.int32)

    def reshaped(self, shape):
        """The same integers in another shape."""
        return Counter(self.base.reshape(shape), self.slope.reshape(shape))


class Unknown:
    """What a counter of a loop is after a number of turns that the program gets."""


def new(shape, dtype):
    """Returns a view of a new buffer of scratch memory."""
    return View(Buffer(np.dtype(dtype), int(np.prod(shape, dtype=np.int64))), tuple(shape))
