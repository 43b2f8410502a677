"""The step of a cell in float32 numbers, which records every signal."""

import numpy as np

from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.cells.states import ADDED, CHANGE, KEPT


class Measured(Arithmetic):
    """Computes with NumPy arrays.

    Args:
        products: name -> `Product`.

    Attributes:
        signals: name -> array, of every signal and new state that was made.
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
        self.operands[weights.operand] = x
        return self._made(name, x @ weights.matrix + (0.0 if weights.bias is None else weights.bias))

    def activated(self, name, total, function, x, y):
        return self._made(name, function(self._made(total, x + y)))

    def activate(self, name, function, x):
        return self._made(name, function(x))

    def times(self, name, x, y):
        return self._made(name, x * y)

    def split(self, x, parts):
        return np.split(x, parts, axis=-1)

    def read(self, name, state):
        return self._made(name, state)

    def keep(self, state, x):
        return self._made(state, x)

    def blend(self, state, h, new, gate, opens):
        start, end = (h, new) if opens else (new, h)
        kept = self._made(state + KEPT, gate * self._made(state + CHANGE, end - start))
        return self._made(state, start + kept)

    def accumulate(self, state, c, forget, enter, new):
        return self._made(
            state, self._made(state + KEPT, forget * c) + self._made(state + ADDED, enter * new)
        )

    def leak(self, state, h, new, alpha, beta):
        return self._made(state, self._made(state + ADDED, alpha * new) + self._made(state + KEPT, beta * h))
