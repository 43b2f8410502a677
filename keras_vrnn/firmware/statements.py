"""The nodes of a program as C statements."""

import numpy as np

from keras_vrnn.firmware.nodes import (
    AllTrue,
    Compute,
    Fill,
    Look,
    Loop,
    Move,
    Reduce,
    Softmax,
    Update,
    anything,
    element_strides,
)
from keras_vrnn.firmware.program import C_TYPES
from keras_vrnn.firmware.terms import Read, Sum

_LETTERS = "ijklmn"


class Statements:
    """Writes the nodes of a program as C statements and collects the functions that they call."""

    def __init__(self, program):
        self._program = program
        self.functions: set[str] = set()

    # Places

    def at(self, view):
        """Returns a pointer to the first value of a view."""
        memory = view.buffer.memory
        base = memory.name
        offset = view.offset
        if memory.place == "":
            base, offset = f"state->work_{memory.stored.name}", offset + memory.offset
        elif memory.place == "state":
            base = f"state->{memory.name}"
        parts = [base] + ([str(offset)] if offset else []) + ([f"{view.slope} * t"] if view.slope else [])
        text = " + ".join(parts).replace("+ -", "- ")
        return text if len(parts) == 1 else f"({text})"

    def _start(self, buffer, offset=0):
        memory = buffer.memory
        if memory.place == "":
            total = memory.offset + offset
            return f"state->work_{memory.stored.name}" + (f" + {total}" if total else "")
        name = f"state->{memory.name}" if memory.place == "state" else memory.name
        return name + (f" + {offset}" if offset else "")

    # Nodes

    def body(self, nodes):
        """Returns the statements of nodes."""
        return [line for node in nodes for line in getattr(self, _WRITERS[type(node)])(node)]

    def compute(self, node):
        """Statements of a `Compute`."""
        products = node.products()
        nested = node.rows > 1 and (products or _needs_rows(node))
        rows, width = (node.rows, node.width) if nested else (1, node.rows * node.width)
        inner = []
        for product in products:
            self.functions.add(product.kernel)
            x = self.at(product.x) + (f" + r * {product.stride}" if rows > 1 else "")
            sums, weights, bias, row = (
                self._start(b) for b in (product.sums, product.weights, product.bias, product.row)
            )
            if product.copies_rows:
                inner.append(f"memcpy({row}, {x}, {product.inputs * product.row.stored.itemsize});")
                x = row
            inner.append(
                f"{product.kernel}({x}, {product.row.size}, {weights}, {bias}, {product.sums.size}, {sums});"
            )
        inner += _loop("i", width, self._element(node, f"r * {width} + i" if rows > 1 else "i"))
        return _loop("r", rows, inner) if rows > 1 else inner

    def _element(self, node, index):
        """The statements that compute one element."""
        names: dict[int, str] = {}
        lines = []
        for term in node.terms():
            name = f"v{len(names)}"
            if isinstance(term, Read):
                at = {"same": index, "one": "0", "row": "r", "column": "i"}[term.pattern]
                form = f"{self._base(term.view)}[{at}]"
            elif isinstance(term, Sum):
                form = f"({self._start(term.product.sums)})[i]"
            else:
                form = term.form
                for mark, buffer in term.constants.items():
                    form = form.replace(mark, buffer.name)
                form = form.format(*(names[id(part)] for part in term.parts))
                self.functions |= set(term.needs)
            names[id(term)] = name
            lines.append(f"const int32_t {name} = {form};")
        kind = C_TYPES[node.result.dtype.name]
        lines.append(f"({self._start(node.result)})[{index}] = ({kind}){name};")
        return lines

    def _base(self, view):
        text = self.at(view)
        return text if text.startswith("(") or "+" not in text else f"({text})"

    def move(self, node):
        """Statements of a `Move`."""
        axes = [
            axis
            for axis in zip(node.sizes, node.source_strides, node.target_strides, strict=True)
            if axis[0] > 1
        ]
        # Neighbouring axes that run on without a gap are one.
        merged: list[tuple] = []
        for size, source, target in axes:
            if merged and merged[-1][1] == size * source and merged[-1][2] == size * target:
                merged[-1] = (merged[-1][0] * size, source, target)
            else:
                merged.append((size, source, target))
        count = merged.pop()[0] if merged and merged[-1][1:] == (1, 1) else 1
        letters = _LETTERS[: len(merged)]
        source, target = (
            " + ".join(
                [self.at(view)]
                + [f"{letter} * {axis[k]}" for letter, axis in zip(letters, merged, strict=True)]
            )
            for k, view in ((1, node.source), (2, node.target))
        )
        if count > 1:
            lines = [f"memcpy({target}, {source}, {count * node.target.buffer.stored.itemsize});"]
        else:
            lines = [f"*({target}) = *({source});"]
        for letter, axis in zip(reversed(letters), reversed(merged), strict=True):
            lines = _loop(letter, axis[0], lines)
        return lines

    def fill(self, node):
        """Statements of a `Fill`."""
        return self._filled(node.result, np.full(node.result.size, node.value, node.result.stored))

    def _filled(self, buffer, array):
        """Statements that give a buffer values that are all the same, in C or in their bytes."""
        target, bytes_of = self._start(buffer), set(array.tobytes())
        if len(bytes_of) == 1:
            # Of the array itself, GCC would ask whether bytes or elements are meant.
            return [f"memset(&({target})[0], {bytes_of.pop()}, {array.nbytes});"]
        return _loop("i", len(array), [f"({target})[i] = {int(array[0])};"])

    def update(self, node):
        """Statements of an `Update`."""
        lines = []
        if node.target.buffer.memory is not node.result.memory:
            lines += self._copied(self._start(node.result), self.at(node.target), node.result)
        shape = node.part.shape
        return lines + self.move(Move(node.part, node.place, shape, element_strides(shape), node.strides))

    def _copied(self, target, source, buffer):
        return [f"memcpy({target}, {source}, {buffer.size * buffer.stored.itemsize});"]

    def look(self, node):
        """Statements of a `Look`; `checks` has made sure of the indices."""
        target, size = self._start(node.result), node.width * node.result.stored.itemsize
        row = f"{target} + i * {node.width}"
        return _loop(
            "i",
            node.index.size,
            [f"memcpy({row}, {self.at(node.table)} + {self.at(node.index)}[i] * {node.width}, {size});"],
        )

    def checks(self):
        """Statements that end the function before anything changes if an index is outside of its table."""
        lines = []
        for node in (inner for outer in self._program.body for inner in anything(outer)):
            if isinstance(node, Look):
                at = f"{self.at(node.index)}[i]"
                test = [f"if ({at} < 0 || {at} >= {node.rows}) {{", "    return 1;", "}"]
                lines += _loop("i", node.index.size, test)
        return lines

    def softmax(self, node):
        """Statements of a `Softmax`."""
        self.functions.add(node.kernel)
        rows = node.x.size // node.width
        step = f" + r * {node.width}" if rows > 1 else ""
        given = [f"{self.at(node.x)}{step}", f"{self._start(node.result)}{step}", str(node.width)]
        given += [buffer.name for buffer in node.constants] + [str(n) for n in node.numbers]
        call = [f"{node.kernel}({', '.join(given)});"]
        return _loop("r", rows, call) if rows > 1 else call

    def reduce(self, node):
        """Statements of a `Reduce`."""
        (rows, taps, width), (row, tap) = node.sizes, node.strides
        x, kind = self._base(node.x), C_TYPES[node.result.dtype.name]
        more = {
            "sum": ["total += next;"],
            "max": ["total = next > total ? next : total;"],
            "min": ["total = next < total ? next : total;"],
        }
        first = f"r * {row} + i" if rows > 1 else "i"
        inner = [f"const int32_t next = {x}[{first} + k * {tap}];", *more[node.how]]
        lines = [f"int32_t total = {x}[{first}];"]
        if taps > 1:
            lines += [f"for (int32_t k = 1; k < {taps}; ++k) {{", *("    " + line for line in inner), "}"]
        at = f"r * {width} + i" if rows > 1 else "i"
        lines.append(f"({self._start(node.result)})[{at}] = ({kind})total;")
        body = _loop("i", width, lines)
        return _loop("r", rows, body) if rows > 1 else body

    def all_true(self, node):
        """Statements of an `AllTrue`."""
        lines = ["int8_t all = 1;"]
        lines += _loop("i", node.width, [f"all = (int8_t)(all & {self.at(node.x)}[r * {node.width} + i]);"])
        lines.append(f"({self._start(node.result)})[r] = all;")
        return _loop("r", node.result.size, lines)

    def loop(self, node):
        """Statements of a `Loop`."""
        lines = []
        for carry in node.carries:
            held, initial = carry.held.buffer, carry.initial
            if held.memory is initial.buffer.memory:
                continue
            array = initial.buffer.array
            if initial.buffer.place == "constant" and (array == array[0]).all():
                lines += self._filled(held, array.astype(held.stored))
            else:
                lines += self._copied(self._start(held), self.at(initial), held)
        inside = self.body(node.body) + self.ends(node.carries)
        if node.count is None:
            return lines + _loop("t", node.turns, inside)
        head = f"for (int32_t t = 0; t < {node.turns} && t < {self._base(node.count)}[0]; ++t) {{"
        return [*lines, head, *("    " + line for line in inside), "}"]

    def ends(self, carries):
        """Statements that leave values to the next turn, or to the next call."""
        lines = []
        for carry in carries:
            held, following = carry.held.buffer, carry.following
            if following.buffer.memory is not held.memory:
                lines += self._copied(self._start(held), self.at(following), held)
        return lines

    def starts(self):
        """Statements that set the states to where they begin."""
        lines = []
        for edge in self._program.states:
            buffer = edge.view.buffer
            if (buffer.array == buffer.array[0]).all():
                lines += self._filled(buffer, buffer.array.astype(buffer.stored))
            else:
                lines += [f"state->{buffer.name}[{k}] = {int(n)};" for k, n in enumerate(buffer.array)]
        return lines

    def results(self):
        """Statements that copy what is not computed in its place already."""
        lines = []
        for edge in self._program.outputs:
            memory = edge.view.buffer.memory
            if memory.place != "output" or memory.name != edge.argument:
                lines += self._copied(edge.argument, self.at(edge.view), edge.view.buffer)
        return lines


_WRITERS = {
    AllTrue: "all_true",
    Compute: "compute",
    Fill: "fill",
    Look: "look",
    Loop: "loop",
    Move: "move",
    Reduce: "reduce",
    Softmax: "softmax",
    Update: "update",
}


def _needs_rows(node):
    return any(isinstance(part, Read) and part.pattern in ("row", "column") for part in node.terms())


def _loop(letter, count, lines):
    """A loop over statements; of one turn, the statements alone."""
    if count == 1 and not any(line.startswith(("const ", "int8_t ", "int32_t ")) for line in lines):
        inside = [f"const int32_t {letter} = 0;", *lines]
        used = any(uses(line, letter) for line in lines)
        return ["{", *("    " + line for line in (inside if used else lines)), "}"]
    head = f"for (int32_t {letter} = 0; {letter} < {count}; ++{letter}) {{"
    return [head, *("    " + line for line in lines), "}"]


def uses(line, name):
    """Returns whether a name occurs in a statement."""
    return name in "".join(c if c.isalnum() or c == "_" else " " for c in line).split()
