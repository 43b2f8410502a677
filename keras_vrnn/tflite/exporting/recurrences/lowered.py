"""The step of a cell in TFLite operators."""

import numpy as np

from keras_vrnn.quantization import gated
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting.recurrences.arithmetic import Arithmetic
from keras_vrnn.tflite.exporting.recurrences.formatting import ARGUMENT
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
        if gated.is_table(function.name, formats.dtype):  # a table of the values for all int8 numbers
            argument = self.narrow(name + ARGUMENT, x) if graph.dtype(x) != formats.dtype else x
            return self._wide(function.apply(graph, name, argument, formats.signals[name]))
        x, made = self._wide(x), formats.wide[name]
        if function.name == "linear":
            return x
        if function.is_fused:
            return function.write(graph, x, self._constant("zero", x, [0.0]), None, made)
        if function.name == "hard_sigmoid":  # min(max(x + 3, 0), 6) / 6
            shifted = op.add(graph, "shifted", x, self._constant("three", x, [3.0]), gated.SIX, op.RELU6)
            return op.multiply(graph, name, shifted, self._constant("sixth", x, [1 / 6]), made)
        return function.apply(graph, name, x, made)

    def total(self, name, x, y):
        return op.add(self._graph, name, self._wide(x), self._wide(y), self._formats.wide.get(name))

    def difference(self, name, x, y):
        return op.subtract(self._graph, name, self._wide(x), self._wide(y), self._formats.wide.get(name))

    def times(self, name, x, y):
        return op.multiply(self._graph, name, self._wide(x), self._wide(y), self._formats.wide.get(name))

    def scaled(self, name, x, factor):
        x = self._wide(x)
        return op.multiply(
            self._graph, name, x, self._constant("factor", x, factor), self._formats.wide.get(name)
        )

    def split(self, x, parts):
        return op.columns(self._graph, "part", x, parts)

    def _wide(self, x):
        graph = self._graph
        if graph.dtype(x) != np.int8:
            return x
        return op.quantize(graph, "wide", x, gated.widened(graph.quantization(x)), np.int16)

    def _constant(self, name, like, values):
        """Adds real numbers, one or one per unit, in the type of a wide tensor."""
        graph = self._graph
        real = np.asarray(values, np.float32).reshape((1,) * (len(graph.shape(like)) - 1) + (-1,))
        if not self._formats.scheme.integer:
            return graph.constant(name, real)
        held = SCHEMES["int16x8"].format(real.min(), real.max())
        return graph.constant(name, np.round(real / held.scale).astype(np.int16), held)
