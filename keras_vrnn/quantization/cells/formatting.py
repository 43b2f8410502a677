"""The step of a cell in number formats: which format each of its signals gets for measured ranges."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization.cells import formats as rules
from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.formats import no_finer

ARGUMENT = "/argument"  # after the name of a signal: the int8 numbers at which its table is read


@dataclass(frozen=True)
class _Signal:
    """A signal by its name; `is_product` where a product has made it."""

    name: str
    is_product: bool = False


class Formatting(Arithmetic):
    """Computes with `_Signal`s.

    Args:
        scheme: a scheme with integer signals.
        ranges: signal -> (low, high).
        products: name -> `Product`.
        bounded_by: state -> the name of the activation between whose ends it stays.
        x: the format of the input; None for that of its range.

    Attributes:
        narrow_formats, wide_formats: signal -> `Quantization`.
    """

    def __init__(self, scheme, ranges, products, bounded_by, x=None):
        self._scheme, self._ranges, self._products, self._bounded_by = scheme, ranges, products, bounded_by
        self._wide = rules.wide(scheme)
        self.narrow_formats: dict[str, Any] = {"x": scheme.format(*ranges["x"]) if x is None else x}
        self.wide_formats: dict[str, Any] = {}

    def state(self, name):
        """Returns a state of the last step, whose formats are made."""
        formats = rules.state_formats(self._scheme, self._ranges[name], self._bounded_by.get(name))
        self.narrow_formats[name], self.wide_formats[name] = formats
        return _Signal(name)

    def product(self, name, x=None):
        weights = self._products[name]
        self.narrow_formats[name] = self._scheme.product_format(
            *self._ranges[name], self.narrow_formats[weights.operand], weights.matrix
        )
        return _Signal(name, is_product=True)

    def narrow(self, name, x):
        if name not in self.narrow_formats:
            source = self.wide_formats[x.name]
            is_int16 = self._scheme.dtype == np.int16
            self.narrow_formats[name] = source if is_int16 else self._scheme.format(*self._ranges[name])
        return _Signal(name)

    def activated(self, name, total, function, x, y):
        made = name if function.is_fused else total  # by the addition
        if not (x.is_product and y.is_product):
            self.wide_formats[made] = self._sum(x, y, self._wide.format(*self._ranges[made]))
            return _Signal(name) if function.is_fused else self.activate(name, function, _Signal(total))
        terms = [
            (self._ranges[t.name], self.narrow_formats[p.operand], p.matrix)
            for t in (x, y)
            for p in [self._products[t.name]]
        ]
        (first, second), held = rules.sum_formats(self._scheme, function.name, self._ranges[made], *terms)
        self.narrow_formats |= {x.name: first, y.name: second, total: held}
        if function.is_fused:
            self.narrow_formats[name] = held
            self.wide_formats[name] = self._widened(held)
            return _Signal(name)
        return self.activate(name, function, _Signal(total))

    def activate(self, name, function, x):
        if rules.is_table(function.name, self._scheme.dtype):
            if x.name in self.wide_formats:
                argument = self.narrow_formats.get(x.name) or self._scheme.format(*self._ranges[x.name])
                self.narrow_formats[name + ARGUMENT] = argument
            self.narrow_formats[name] = self._scheme.format(*self._ranges[name])
            self.wide_formats[name] = self._widened(self.narrow_formats[name])
        elif function.name == "linear":
            self.wide_formats[name] = self._wide_format(x)
        else:
            made = rules.activated_format(self._scheme, function.name, self._ranges[name])
            self.wide_formats[name] = self._sum(x, x, made) if function.is_fused else made
        return _Signal(name)

    def _wide_format(self, x):
        narrow = self.narrow_formats.get(x.name)
        return self.wide_formats[x.name] if x.name in self.wide_formats else self._widened(narrow)

    def _widened(self, held):
        return held if self._scheme.dtype == np.int16 else rules.widened(held)

    def _sum(self, x, y, result):
        """Returns the format of a wide sum, not so fine that an ADD could not compute it."""
        largest = xp.maximum(self._wide_format(x).scale, self._wide_format(y).scale)
        return no_finer(result, largest * rules.LEAST_SUM)

    def total(self, name, x, y):
        made = self._measured(name)
        self.wide_formats[name] = self._sum(x, y, self.wide_formats[name])
        return made

    difference = total

    def _measured(self, name, *_):
        if name not in self.wide_formats:  # a state has its own
            self.wide_formats[name] = self._wide.format(*self._ranges[name])
        return _Signal(name)

    times = scaled = _measured

    def split(self, x, parts):
        return [x] * parts
