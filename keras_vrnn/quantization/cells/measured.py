"""The step of a cell in float32 numbers, which records every signal."""

import numpy as np

from keras_vrnn.quantization.cells.arithmetic import Arithmetic


class Measured(Arithmetic):
    """Computes with NumPy arrays.

    Args:
        products: name -> `Product`.

    Attributes:
        signals: name -> array, of every signal that was made.
        operands: name -> array, of every signal that a product reads.
    """

    def __init__(self, products):
        self._products = products
        self.signals, self.operands = {}, {}

    def _made(self, name, value):
        self.signals[name] = value
        return value

    def product(self, name, x):
        weights = self._products[name]
        return self._made(name, x @ weights.matrix + (0.0 if weights.bias is None else weights.bias))

    def narrow(self, name, x):
        self.operands[name] = x
        return x

    def activated(self, name, total, function, x, y):
        return self._made(name, function(self._made(total, x + y)))

    def activate(self, name, function, x):
        return self._made(name, function(x))

    def total(self, name, x, y):
        return self._made(name, x + y)

    def difference(self, name, x, y):
        return self._made(name, x - y)

    def times(self, name, x, y):
        return self._made(name, x * y)

    def scaled(self, name, x, factor):
        return self._made(name, x * factor)

    def split(self, x, parts):
        return np.split(x, parts, axis=-1)
