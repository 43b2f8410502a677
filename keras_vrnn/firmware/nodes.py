"""What a C program computes, in order. Each node writes one buffer, a loop those that it carries."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vrnn.firmware.buffers import Buffer, View
from keras_vrnn.firmware.terms import Read, Sum, Term


@dataclass(eq=False)
class Product:
    """Rows of x times weights: sums for `units` columns from `inputs` values of x each.

    Attributes:
        x: the values; row r begins `stride` values after row r − 1.
        weights, bias: buffers of constants, as `products` lays them out.
        sums: int32 memory for a row of results.
        row: memory for a row of x and what fills it up to a multiple of four.
        kernel: the C function.
    """

    x: View
    rows: int
    stride: int
    inputs: int
    units: int
    weights: Buffer
    bias: Buffer
    sums: Buffer
    row: Buffer
    kernel: str

    @property
    def copies_rows(self):
        """Whether a row of x must be copied, since the kernel would read beyond memory that is not the program's."""
        return self.row.size != self.inputs and self.x.buffer.memory.place not in ("", "state")

    @property
    def multiplications(self):
        """Multiply-accumulates."""
        return self.rows * self.inputs * self.units


class Node:
    """A computation that writes `result`."""

    result: Buffer

    def reads(self):
        """The views that it reads."""
        return []

    def scratch(self):
        """Memory that it needs while it computes."""
        return []


@dataclass(eq=False)
class Compute(Node):
    """One value of the result by a term, for each of `rows` · `width` elements."""

    result: Buffer
    term: Term
    rows: int
    width: int

    def reads(self):
        leaves = [part.view for part in self.terms() if isinstance(part, Read)]
        return leaves + [product.x for product in self.products()]

    def reads_in_step(self, buffer):
        """Whether it reads a buffer only at the element that it is about to write."""
        reads = [part for part in self.terms() if isinstance(part, Read) and part.view.buffer is buffer]
        # The sums of a row are complete before its first element is written.
        before = self.rows == 1 or all(product.x.buffer is not buffer for product in self.products())
        return before and all(part.pattern == "same" and part.view.whole for part in reads)

    def scratch(self):
        products = self.products()
        return [p.sums for p in products] + [p.row for p in products if p.copies_rows]

    def products(self):
        """The sums that it uses."""
        return [part.product for part in self.terms() if isinstance(part, Sum)]

    def terms(self):
        """All terms, parts before the terms that use them, each once."""
        found: dict[int, Term] = {}
        _collect(self.term, found)
        return list(found.values())


def _collect(term, found):
    if id(term) not in found:
        for part in term.parts:
            _collect(part, found)
        found[id(term)] = term


@dataclass(eq=False)
class Move(Node):
    """Copies values along axes with strides of their own into a part of the result."""

    source: View
    target: View
    sizes: tuple
    source_strides: tuple
    target_strides: tuple

    def __post_init__(self):
        self.result = self.target.buffer

    def reads(self):
        return [self.source]


@dataclass(eq=False)
class Fill(Node):
    """Sets all values of the result."""

    result: Buffer
    value: int


@dataclass(eq=False)
class Update(Node):
    """The target with a part of it replaced.

    Attributes:
        place: where the part begins in the result.
        strides: how far apart the neighbours along each axis of the part lie there.
    """

    result: Buffer
    target: View
    part: View
    place: View
    strides: tuple

    def reads(self):
        return [self.target, self.part]


@dataclass(eq=False)
class Look(Node):
    """The rows of a table that int32 values from outside choose; an error if one is outside of it."""

    result: Buffer
    table: View
    index: View
    rows: int
    width: int

    def reads(self):
        return [self.table, self.index]


@dataclass(eq=False)
class Reduce(Node):
    """Values combined over windows or axes: result[row, i] of x[row · strides[0] + tap · strides[1] + i] over all taps.

    Attributes:
        how: "sum", "max" or "min".
        sizes: rows, taps, width.
        strides: of rows and of taps.
    """

    result: Buffer
    x: View
    how: str
    sizes: tuple
    strides: tuple

    def reads(self):
        return [self.x]


@dataclass(eq=False)
class Softmax(Node):
    """SOFTMAX over the last axis, by the constants that its kernel takes."""

    result: Buffer
    x: View
    width: int
    kernel: str
    constants: list
    numbers: list

    def reads(self):
        return [self.x]


@dataclass(eq=False)
class AllTrue(Node):
    """Whether all values of each row are true."""

    result: Buffer
    x: View
    width: int

    def reads(self):
        return [self.x]


@dataclass(eq=False)
class Loop(Node):
    """A number of turns over nodes.

    Attributes:
        turns: how many; at most, if `count` says how many.
        body: the nodes of a turn.
        carries: what a turn leaves to the next one.
        count: an int32 of the program, the number of turns; None if there are always as many.
    """

    turns: int
    body: list
    carries: "list[Carry]"
    count: View | None = None

    def reads(self):
        initial = [carry.initial for carry in self.carries if carry.initial is not None]
        return initial + ([] if self.count is None else [self.count])

    def everything_read(self):
        """Also what its turns read."""
        return [*self.reads(), *(view for node in self.body for view in _all_reads(node))]


@dataclass(eq=False)
class Carry:
    """A value from turn to turn of a loop, or from call to call of a step.

    Attributes:
        held: where it lies.
        initial: what it starts with; None for a state of the program.
        following: what a turn leaves to the next one.
    """

    held: View
    initial: View | None
    following: View


def _all_reads(node):
    return node.everything_read() if isinstance(node, Loop) else node.reads()


def all_reads(node):
    """Returns every view that a node reads, inside of its turns too."""
    return _all_reads(node)


def element_strides(shape):
    """Returns how far apart neighbours along each axis of a full array lie."""
    return tuple(int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape)))


def anything(node: Any):
    """Yields a node and, of a loop, the nodes of its turns."""
    yield node
    for inner in getattr(node, "body", []):
        yield from anything(inner)
