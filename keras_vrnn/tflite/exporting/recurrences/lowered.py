"""The step of a gated cell in TFLite operators."""

import numpy as np

from keras_vrnn.quantization.cells import states as rules
from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting.recurrences.base import State
from keras_vrnn.tflite.exporting.writing import operators as op


class Lowered(Arithmetic):
    """Adds operators to a graph; its values are tensors of it, and its states `State`s.

    Args:
        graph: a `flatbuffer.Graph`.
        recurrence: the name of the recurrence, with which the names of its weights start.
        formats: its `Formats`.
        products: name -> `Product`.
    """

    def __init__(self, graph, recurrence, formats, products):
        self._graph, self._recurrence, self._formats, self._products = graph, recurrence, formats, products
        self._weights = {}
        self._is_int8 = formats.dtype == np.int8

    def product(self, name, x, flat=False):
        weights, formats = self._products[name], self._formats
        if name not in self._weights:  # all steps of an unrolled graph read the same
            source = self._graph.quantization(x)
            kernel, bias = formats.product(name, weights, source, formats.signal(name))
            constant = op.weights(self._graph, f"{self._recurrence}/{name}", kernel)
            offset = -1 if bias is None else self._graph.constant("bias", bias.array, bias.quantization)
            self._weights[name] = constant, offset
        kernel, offset = self._weights[name]
        return op.fully_connected(
            self._graph, name, x, kernel, offset, formats.dtype, formats.signal(name), flat
        )

    def activated(self, name, total, function, x, y):
        formats, graph = self._formats, self._graph
        if function.is_fused:
            return function.write(graph, x, y, None, formats.signal(name))
        return self.activate(name, function, op.add(graph, total, x, y, formats.signal(total)))

    def activate(self, name, function, x):
        graph, made = self._graph, self._formats.signal(name)
        if made is None:
            return function.apply(graph, name, x, None)
        if function.name == "linear":
            return x
        if function.is_fused:
            return function.write(graph, x, self._zero(x), None, made)
        if function.name == "hard_sigmoid" and not self._is_int8:  # min(max(x + 3, 0), 6) / 6
            shifted = op.add(graph, "shifted", x, self._real("three", x, 3.0), rules.SIX, op.RELU6)
            return op.multiply(graph, name, shifted, self._real("sixth", x, 1 / 6), made)
        return function.apply(graph, name, x, made)

    def times(self, name, x, y):
        return op.multiply(self._graph, name, x, y, self._formats.signal(name))

    def split(self, x, parts):
        return op.columns(self._graph, "part", x, parts)

    def read(self, name, state):
        if state.value is not None:
            return state.value
        return op.in_format(self._graph, name, state.kept, self._formats.signal(name), self._formats.dtype)

    def keep(self, state, x):
        return State(x, x)

    def blend(self, state, h, new, gate, opens):
        graph, formats = self._graph, self._formats
        if not self._is_int8:
            start, end = (h.value, new) if opens else (new, h.value)
            change, kept = state + rules.CHANGE, state + rules.KEPT
            difference = op.subtract(graph, change, end, start, formats.signal(change))
            moved = op.multiply(graph, kept, gate, difference, formats.signal(kept))
            return self.keep(state, op.add(graph, state, start, moved, formats.signal(state)))
        new = op.in_format(graph, "new", new, formats.signal(state), formats.dtype)
        change = op.subtract(graph, "change", self._integer(new), self._integer(h.value), None)
        held = graph.quantization(gate)
        opening = self._offset(gate) if opens else self._offset(gate, rules.one(held))
        moved = op.multiply(graph, "moved", opening, change, None)
        return self._kept(state, op.unquantized(graph, h.kept), moved)

    def accumulate(self, state, c, forget, enter, new):
        graph, formats = self._graph, self._formats
        if not self._is_int8:
            kept, added = state + rules.KEPT, state + rules.ADDED
            lasting = op.multiply(graph, kept, forget, c.value, formats.signal(kept))
            entering = op.multiply(graph, added, enter, new, formats.signal(added))
            return self.keep(state, op.add(graph, state, lasting, entering, formats.signal(state)))
        dtype, held = formats.state(state)
        factors = rules.cell_factors(graph.quantization(new), held)
        lasting = op.multiply(graph, "kept", self._offset(forget), self._integer(c.kept), None)
        entering = op.multiply(graph, "added", self._offset(enter), self._offset(new), None)
        lasting, entering = self._scaled(lasting, factors[0]), self._scaled(entering, factors[1])
        gate = graph.quantization(forget)
        exact = Quantization(held.scale * gate.scale / factors[0], 0)
        return State(
            op.quantize(graph, state, op.add(graph, "exact", lasting, entering, exact), held, dtype), None
        )

    def leak(self, state, h, new, alpha, beta):
        graph, formats = self._graph, self._formats
        if not self._is_int8:
            kept, added = state + rules.KEPT, state + rules.ADDED
            entering, lasting = (
                op.multiply(graph, name, x, self._real("factor", x, factor), formats.signal(name))
                for name, x, factor in ((added, new, alpha), (kept, h.value, beta))
            )
            return self.keep(state, op.add(graph, state, entering, lasting, formats.signal(state)))
        factors = formats.constants.get(state)
        if factors is None:
            factors = rules.leak_factors(alpha, beta, graph.quantization(new), formats.signal(state))
        added, lost = (
            self._scaled(self._offset(x), factor) for x, factor in zip((new, h.value), factors, strict=True)
        )
        moved = op.subtract(graph, "moved", added, lost, None)
        return self._kept(state, op.unquantized(graph, h.kept), moved)

    def _kept(self, state, kept, moved):
        """Adds two int32 tensors to the new state."""
        graph, formats = self._graph, self._formats
        _, held = formats.state(state)
        kept = op.add(graph, f"{state}_kept", kept, moved, held)
        return State(kept, op.quantize(graph, state, kept, formats.signal(state), formats.dtype))

    def _integer(self, x):
        """Casts the integers of a tensor to int32."""
        return op.cast(self._graph, "integer", x, np.int32)

    def _offset(self, x, minuend=None):
        """Casts the integers of a tensor without their zero point; with a minuend, subtracts them from it."""
        graph, zero_point = self._graph, self._graph.quantization(x).zero_point
        integer = self._integer(x)
        if minuend is not None:
            return op.subtract(graph, "offset", self._constant(integer, minuend + zero_point), integer, None)
        if zero_point == 0:
            return integer
        return op.add(graph, "offset", integer, self._constant(integer, -zero_point), None)

    def _scaled(self, x, factor):
        return x if factor == 1 else op.multiply(self._graph, "scaled", x, self._constant(x, factor), None)

    def _constant(self, like, value):
        """Adds one int32 number for each unit: kernels take operands of one shape fastest."""
        *rows, units = self._graph.shape(like)
        return self._graph.constant("integer", np.full((1,) * len(rows) + (units,), value, np.int32))

    def _real(self, name, like, value):
        """Adds a real number for each unit in the type of a tensor, float32 or int16."""
        *rows, units = self._graph.shape(like)
        shape = (1,) * len(rows) + (units,)
        if self._formats.dtype == np.float32:
            return self._graph.constant(name, np.full(shape, value, np.float32))
        integer, held = rules.constant(value)
        return self._graph.constant(name, np.full(shape, integer, np.int16), held)

    def _zero(self, like):
        """Adds zeros in the format of a tensor, which the addition can read."""
        graph, form = self._graph, self._graph.quantization(like)
        *rows, units = graph.shape(like)
        values = np.full((1,) * len(rows) + (units,), form.zero_point, graph.dtype(like))
        return graph.constant("zero", values, form)
