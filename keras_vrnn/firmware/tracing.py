"""Runs the graphs of a file on symbols instead of numbers and writes down what there is to compute.

Whatever depends on constants alone is computed here, by the simulation: shapes, positions, the number of turns of a
loop, and functions of one int8 value, as tables of 256 results. An operator of single elements becomes a term, and
terms are joined until a value is needed more than once or as a whole, so that a chain of operators takes one loop.
"""

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vrnn.firmware import control, elementwise, movements, products, reductions, softmax, terms
from keras_vrnn.firmware.buffers import Buffer, Counter, Unknown, Unsupported, View, new
from keras_vrnn.firmware.nodes import AllTrue, Compute, Move
from keras_vrnn.tflite.running.simulated_movements import MOVEMENTS
from keras_vrnn.tflite.running.simulated_operators import OPERATORS, fused_activation

_ALIASES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
_STORED = tuple(np.dtype(name) for name in ("int8", "int16", "int32", "bool"))


@dataclass(frozen=True)
class Lazy:
    """Values that a term gives, not yet in memory.

    Attributes:
        nest: rows and columns over which the term is to run; None where it reads single elements alone.
    """

    term: terms.Term
    shape: tuple
    dtype: np.dtype
    nest: tuple | None

    def reshaped(self, shape):
        """The same values in another shape."""
        return Lazy(self.term, tuple(shape), self.dtype, self.nest)


@dataclass(frozen=True)
class Mapped:
    """A function of int8 or bool values, as the table of its results from the least value on."""

    base: View | Lazy
    table: np.ndarray

    def reshaped(self, shape):
        """The same values in another shape."""
        return Mapped(self.base.reshaped(shape), self.table)


class Tracer:
    """The trace of a file.

    Attributes:
        nodes: what is to be computed, in order.
        states: name -> the memory of a variable that the file keeps.
        variables: name -> the value that it has at this point.
        turns: of the loop that is being traced, otherwise 1.
        constants: the constants, each once.
    """

    def __init__(self, graphs):
        self.graphs = graphs
        self.nodes: list = []
        self.states: dict[str, View] = {}
        self.variables: dict[str, Any] = {}
        self.turns = 1
        self.constants: dict[tuple, Buffer] = {}

    def run(self, index, inputs):
        """Traces a graph and returns the values of its outputs."""
        graph = self.graphs[index]
        uses = Tally(i for operator in graph.operators for i in operator.inputs) + Tally(graph.outputs)
        values = dict(graph.constants)
        values |= zip(graph.inputs, inputs, strict=True)
        for operator in graph.operators:
            arguments = [None if i < 0 else values[i] for i in operator.inputs]
            for i, value in zip(operator.outputs, self._apply(graph, operator, arguments), strict=True):
                _check_size(graph, operator, i, value)
                values[i] = self._kept(value) if uses[i] > 1 else value
        return [values[i] for i in graph.outputs]

    # Values

    def view(self, value):
        """Returns a value as one that memory holds."""
        if isinstance(value, View):
            return value
        if isinstance(value, Mapped):
            return self.view(self.settled(value))
        if isinstance(value, np.ndarray) and value.dtype in _STORED:
            return self.constant(value)
        if isinstance(value, Lazy):
            target = new(value.shape, value.dtype)
            rows, width = value.nest or (1, target.size)
            self.add(Compute(target.buffer, value.term, rows, width))
            return target
        if isinstance(value, Counter):
            raise Unsupported("uses the counter of a loop as a number")
        raise Unsupported(f"holds a tensor of {value.dtype} between its operators")

    def settled(self, mapped):
        """Returns a function of single values as a term that looks into its table."""
        table, base = mapped.table, mapped.base
        if table.dtype not in _STORED:
            raise Unsupported(f"holds a tensor of {table.dtype} between its operators")
        low = 0 if base.dtype == np.bool_ else -128
        if table.dtype == base.dtype and np.array_equal(table, np.arange(low, low + len(table))):
            return base
        term = base.term if isinstance(base, Lazy) else terms.read(base)
        moved = table.astype(np.int64) - np.arange(low, low + len(table))
        if (moved == moved[0]).all():  # a change of type or zero point needs no table
            made = terms.plus(term, moved[0])
        else:
            made = terms.from_table(term, self.constant(table), low)
        return Lazy(made, base.shape, table.dtype, getattr(base, "nest", None))

    def _kept(self, value):
        """Returns a value that is needed more than once."""
        if isinstance(value, Lazy):
            return self.view(value)
        if isinstance(value, Mapped):
            if value.table.dtype in _STORED:
                return self.view(value)
            return Mapped(self.view(value.base), value.table)
        return value

    def constant(self, array):
        """Returns a view of a constant; equal constants share their memory."""
        array = np.asarray(array)
        key = array.dtype.name, array.tobytes()
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[key] = Buffer(array.dtype, array.size, "constant", name, array.reshape(-1))
        return View(self.constants[key], array.shape)

    def lazy(self, term, shape, dtype, nest):
        """Returns values that a term gives."""
        return Lazy(term, tuple(shape), np.dtype(dtype), nest)

    def add(self, node):
        """Adds a node."""
        self.nodes.append(node)

    def copied(self, view):
        """Returns a copy of a view."""
        target = new(view.shape, view.dtype)
        self.add(Move(view, target, (view.size,), (1,), (1,)))
        return target

    def limits(self, graph, operator):
        """Returns the least and the largest integer of a result, within a fused activation."""
        index = operator.outputs[0]
        dtype, activation = (
            graph.dtypes[index],
            fused_activation(operator) if hasattr(operator.options, "fusedActivationFunction") else None,
        )
        return terms.limits_of(graph.formats[index], dtype, activation)

    # Operators

    def _apply(self, graph, operator, arguments):
        name = operator.name
        if any(isinstance(a, Unknown) for a in arguments):
            raise Unsupported("uses the counter of a loop after a number of turns that depends on data")
        if name in control.HANDLERS:
            return control.HANDLERS[name](self, graph, operator, arguments)
        if all(a is None or isinstance(a, np.ndarray) for a in arguments):
            results = OPERATORS[name](graph, operator, *arguments)
            return results if isinstance(results, list) else [results]
        if name == "ADD" and any(isinstance(a, Counter) for a in arguments):
            return [control.counted(arguments)]
        if name in _ALIASES and not isinstance(arguments[0], np.ndarray):
            return [arguments[0].reshaped(graph.shapes[operator.outputs[0]])]
        mapped = _mapped(graph, operator, arguments)
        if mapped is not None:
            return [mapped]
        if name in _HANDLERS:
            return [_HANDLERS[name](self, graph, operator, *arguments)]
        if name in MOVEMENTS:
            return movements.moved(self, graph, operator, arguments)
        raise Unsupported(f"holds the operator {name}")


def _check_size(graph, operator, index, value):
    """Raises unless an operator makes as many values as the file says: C would write beyond its memory."""
    made = value.base if isinstance(value, Mapped) else value
    sizes = [np.prod(made.shape, dtype=np.int64)] if hasattr(made, "shape") else []
    sizes += [np.prod(made.nest)] if isinstance(made, Lazy) and made.nest else []
    if any(size != np.prod(graph.shapes[index], dtype=np.int64) for size in sizes):
        raise Unsupported(f"computes {operator.name} of tensors whose sizes do not agree")


# Operators of one value: at int8, a table that the simulation computes stands for any chain of them.
_UNARY = [
    "ABS",
    "ADD",
    "CAST",
    "DEQUANTIZE",
    "DIV",
    "ELU",
    "EQUAL",
    "GATHER",
    "GREATER",
    "GREATER_EQUAL",
    "HARD_SWISH",
    "LEAKY_RELU",
    "LESS",
    "LESS_EQUAL",
    "LOGICAL_NOT",
    "LOGISTIC",
    "MAXIMUM",
    "MINIMUM",
    "MUL",
    "NEG",
    "NOT_EQUAL",
    "QUANTIZE",
    "RELU",
    "RELU6",
    "SQUARE",
    "SQUARED_DIFFERENCE",
    "SUB",
    "TANH",
]


def _mapped(graph, operator, arguments):
    """Returns an operator of one int8 or bool value as a table, None if it is not one."""
    symbols = [k for k, a in enumerate(arguments) if isinstance(a, (View, Lazy, Mapped))]
    constants = [a for a in arguments if isinstance(a, np.ndarray)]
    if operator.name not in _UNARY or len(symbols) != 1 or len(symbols) + len(constants) != len(arguments):
        return None
    value = arguments[symbols[0]]
    looks_up = operator.name == "GATHER"
    if looks_up and (symbols != [1] or arguments[0].ndim != 1):
        return None
    if not looks_up and any(a.size != 1 for a in constants):
        return None
    if not isinstance(value, Mapped):
        if value.dtype not in (np.int8, np.bool_):
            return None
        domain = np.arange(-128, 128).astype(np.int8) if value.dtype == np.int8 else np.array([False, True])
        value = Mapped(value, domain)
    given = [a if looks_up else a.reshape(-1) for a in arguments if isinstance(a, np.ndarray)]
    given.insert(symbols[0], value.table)
    try:
        table = OPERATORS[operator.name](graph, operator, *given)
    except ValueError as error:
        raise Unsupported(
            f"computes {operator.name} of values for which it is not defined: {error}"
        ) from None
    return Mapped(value.base.reshaped(graph.shapes[operator.outputs[0]]), np.asarray(table))


def _reduce_all(tracer, graph, operator, x, axes):
    view = tracer.view(x)
    if [int(axis) % len(view.shape) for axis in np.ravel(axes)] != [len(view.shape) - 1]:
        raise Unsupported("computes REDUCE_ALL over other axes than the last")
    target = new(graph.shapes[operator.outputs[0]], np.bool_)
    tracer.add(AllTrue(target.buffer, view, view.shape[-1]))
    return target


_HANDLERS: dict[str, Callable[..., Any]] = {
    **elementwise.HANDLERS,
    **reductions.HANDLERS,
    "CONV_2D": products.conv,
    "FULLY_CONNECTED": products.fully_connected,
    "REDUCE_ALL": _reduce_all,
    "SOFTMAX": softmax.softmax,
}
