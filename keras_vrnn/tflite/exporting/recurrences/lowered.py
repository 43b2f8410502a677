"""The step of a cell in TFLite operators."""

import numpy as np

from keras_vrnn.quantization.cells import formats as rules
from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.cells.formatting import ARGUMENT
from keras_vrnn.quantization.schemes import Stored
from keras_vrnn.tflite.exporting.writing import operators as op


class Lowered(Arithmetic):
    """Adds operators to a graph; its values are tensors of it.

    Args:
        graph: a `flatbuffer.Graph`.
        recurrence: the name of the recurrence, with which the names of its weights start.
        formats: its `Formats`.
        products: name -> `Product`.
    """

    def __init__(self, graph, recurrence, formats, products):
        self._graph, self._recurrence, self._formats, self._products = graph, recurrence, formats, products
        self._weights = {}

    def product(self, name, x, flat=False):
        weights, formats = self._products[name], self._formats
        if name not in self._weights:  # all steps of an unrolled graph read the same
            source = self._graph.quantization(x)
            kernel, bias = formats.product(name, weights, source, formats.signal(name))
            constant = op.weights(self._graph, f"{self._recurrence}/{name}", kernel)
            offset = -1 if bias is None else self._graph.constant("bias", bias.array, bias.quantization)
            self._weights[name] = constant, offset
        return op.fully_connected(
            self._graph, name, x, *self._weights[name], formats.dtype, formats.signal(name), flat
        )

    def narrow(self, name, x):
        return op.in_format(self._graph, name, x, self._formats.signal(name), self._formats.dtype)

    def activated(self, name, total, function, x, y):
        formats = self._formats
        if not formats.scheme.integer:
            return function.write(self._graph, x, y, None, None)
        is_narrow = total in formats.signals
        if not is_narrow:
            x, y = self._wide(x), self._wide(y)
        if function.is_fused:
            made = formats.signals if is_narrow else formats.wide
            return self._wide(function.write(self._graph, x, y, None, made[name]))
        a = op.add(self._graph, total, x, y, (formats.signals if is_narrow else formats.wide)[total])
        return self.activate(name, function, a)

    def activate(self, name, function, x):
        formats, graph = self._formats, self._graph
        if not formats.scheme.integer:
            return function.apply(graph, name, x, None)
        if rules.is_table(function.name, formats.dtype):  # a table of the values for all int8 numbers
            argument = self.narrow(name + ARGUMENT, x) if graph.dtype(x) != formats.dtype else x
            return self._wide(function.apply(graph, name, argument, formats.signals[name]))
        x, made = self._wide(x), formats.wide[name]
        if function.name == "linear":
            return x
        if function.is_fused:
            return function.write(graph, x, self._constant("zero", x, 0.0), None, made)
        if function.name == "hard_sigmoid":  # min(max(x + 3, 0), 6) / 6
            shifted = op.add(graph, "shifted", x, self._constant("three", x, 3.0), rules.SIX, op.RELU6)
            return op.multiply(graph, name, shifted, self._constant("sixth", x, 1 / 6), made)
        return function.apply(graph, name, x, made)

    def total(self, name, x, y):
        return op.add(self._graph, name, self._wide(x), self._wide(y), self._formats.wide.get(name))

    def difference(self, name, x, y):
        return op.subtract(self._graph, name, self._wide(x), self._wide(y), self._formats.wide.get(name))

    def times(self, name, x, y):
        return op.multiply(self._graph, name, self._wide(x), self._wide(y), self._formats.wide.get(name))

    def scaled(self, name, x, factor):
        x = self._wide(x)
        stored = self._formats.constants.get(name)
        constant = (
            self._constant("factor", x, factor) if stored is None else self._stored("factor", x, stored)
        )
        return op.multiply(self._graph, name, x, constant, self._formats.wide.get(name))

    def split(self, x, parts):
        return op.columns(self._graph, "part", x, parts)

    def _wide(self, x):
        graph = self._graph
        if graph.dtype(x) != np.int8:
            return x
        return op.quantize(graph, "wide", x, rules.widened(graph.quantization(x)), np.int16)

    def _constant(self, name, like, value):
        """Adds a real number as a constant for the units of a wide tensor."""
        if self._formats.scheme.integer:
            # Zero has any format; that of the other term is one that the addition can read.
            integer, held = rules.constant(value, self._graph.quantization(like))
            return self._stored(name, like, Stored(integer, held))
        return self._stored(name, like, Stored(np.float32(value)))

    def _stored(self, name, like, stored):
        graph = self._graph
        *rows, units = graph.shape(like)
        values = np.full((1,) * len(rows) + (units,), stored.array)
        return graph.constant(name, values, stored.quantization)
