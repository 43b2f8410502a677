"""The step of a cell in number formats: which format each of its signals gets for measured ranges."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vrnn.quantization import arrays as xp
from keras_vrnn.quantization.cells import states
from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.formats import no_finer, off_powers_of_two
from keras_vrnn.quantization.vanilla import sum_formats

_LEAST_SUM = 2.0**-12  # of the larger term's scale: the least scale of a sum of int16 that an ADD computes


@dataclass(frozen=True)
class _Signal:
    """A signal by its name, and whether it is a product or a state as a function reads it."""

    name: str
    is_product: bool = False
    is_state: bool = False


class Formatting(Arithmetic):
    """Computes with `_Signal`s.

    Args:
        scheme: a scheme with integer signals.
        ranges: signal -> (low, high).
        products: name -> `Product`.
        bounded_by: state -> the name of the activation between whose ends it stays.
        x: the format of the input; None for that of its range.

    Attributes:
        signals: signal -> `Quantization`; a state has the one in which the rest of the model reads it.
        kept: state -> the `Quantization` in which the recurrence keeps it, and its dtype.
    """

    def __init__(self, scheme, ranges, products, bounded_by, x=None):
        self._scheme, self._ranges, self._products, self._bounded_by = scheme, ranges, products, bounded_by
        self._is_int16 = scheme.dtype == np.int16
        self.signals: dict[str, Any] = {"x": self._measured("x") if x is None else x}
        self.kept: dict[str, tuple[Any, Any]] = {}

    def _measured(self, name, least=0.0):
        """Returns the format of a measured range, with a scale of at least `least`."""
        held = no_finer(self._scheme.format(*self._ranges[name]), least)
        return off_powers_of_two(held) if self._is_int16 else held

    def state(self, name):
        """Returns a state of the last step, whose format is made."""
        bound = self._bounded_by.get(name)
        self.signals[name] = states.signal_format(self._scheme, self._ranges[name], bound)
        return _Signal(name)

    def product(self, name, x=None):
        weights = self._products[name]
        operand = self.signals[weights.operand]
        self.signals[name] = self._scheme.product_format(*self._ranges[name], operand, weights.matrix)
        return _Signal(name, is_product=True)

    def activated(self, name, total, function, x, y):
        made = name if function.is_fused else total  # by the addition
        terms = [(self._ranges[term.name], self._term_format(term)) for term in (x, y)]
        formats, held = sum_formats(self._scheme, function.name, self._ranges[made], *terms)
        self.signals |= {x.name: formats[0], y.name: formats[1], made: held}
        return _Signal(name) if function.is_fused else self.activate(name, function, _Signal(total))

    def _term_format(self, term):
        if not term.is_product:
            return self._scheme.format
        product = self._products[term.name]
        operand = self.signals[product.operand]
        return functools.partial(self._scheme.product_format, x=operand, matrix=product.matrix)

    def activate(self, name, function, x):
        if x.is_state and not self._is_int16:  # read for this function alone
            low, high = self._scheme.saturation(function.name)
            ends = [xp.clip(end, low, high) for end in self._ranges[x.name]]
            self.signals[x.name] = self._scheme.format(*ends)
        self.signals[name] = self._activated_format(name, function, self.signals[x.name])
        return _Signal(name)

    def _activated_format(self, name, function, source):
        if function.name == "linear":
            return source
        if function.is_fused:  # an addition of zero computes it
            return self._measured(name, source.scale * _LEAST_SUM)
        fixed = "sigmoid" if function.name == "hard_sigmoid" and self._is_int16 else function.name
        return self._scheme.output_format(fixed) if fixed in ("tanh", "sigmoid") else self._measured(name)

    def times(self, name, x, y):
        if name not in self.signals:  # a state has its own
            self.signals[name] = self._measured(name)
        return _Signal(name)

    def split(self, x, parts):
        return [x] * parts

    def read(self, name, state):
        if name != state.name:
            self.signals[name] = self.signals[state.name]
        return _Signal(name, is_state=True)

    def keep(self, state, x):
        self.kept[state] = self.signals[state], self._scheme.dtype
        return _Signal(state)

    def blend(self, state, h, new, gate, opens):
        if self._is_int16:
            self._sum(state + states.CHANGE, new.name, state)
            self.signals[state + states.KEPT] = self._measured(state + states.KEPT)
            return self.keep(state, h)
        if not opens:  # otherwise it is a sigmoid's
            self.signals[gate.name] = states.power_of_two(self.signals[gate.name])
        self.kept[state] = (
            states.blend_format(self.signals[state], self.signals[gate.name]),
            np.dtype("int32"),
        )
        return _Signal(state)

    def accumulate(self, state, c, forget, enter, new):
        if self._is_int16:
            for name in (state + states.KEPT, state + states.ADDED):
                self.signals[name] = self._measured(name)
            return self.keep(state, c)
        self.kept[state] = states.cell_format(self._ranges[state], self.signals[new.name]), np.dtype("int16")
        return _Signal(state)

    def leak(self, state, h, new, alpha, beta):
        if self._is_int16:
            for name in (state + states.KEPT, state + states.ADDED):
                self.signals[name] = self._measured(name)
            return self.keep(state, h)
        self.kept[state] = states.leak_format(self.signals[state]), np.dtype("int32")
        return _Signal(state)

    def _sum(self, name, *terms):
        largest = xp.maximum(*(self.signals[term].scale for term in terms))
        self.signals[name] = self._measured(name, largest * _LEAST_SUM)
