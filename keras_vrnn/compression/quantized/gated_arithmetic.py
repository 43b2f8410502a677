"""The integers of a gated cell inside a TensorFlow graph, as the exported file computes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vrnn.compression.quantized.step import exact_product
from keras_vrnn.quantization import fixed_point, integer
from keras_vrnn.quantization.cells import states as rules
from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.formats import INT8_MAX, INT8_MIN, Quantization
from keras_vrnn.quantization.vanilla import FUSED

_KERNELS = {"tanh": integer.tanh, "sigmoid": integer.logistic}


@dataclass(frozen=True)
class Value:
    """A signal: integers, int64, and their format."""

    integers: Any
    quantization: Quantization


@dataclass(frozen=True)
class Kept:
    """A state as the recurrence keeps it: its name, and integers, int64, or real numbers."""

    name: str
    value: Any


class Integers(Arithmetic):
    """Computes with `Value`s and `Kept` states. Nothing in it has a gradient.

    Args:
        step: the `GatedStep`, which has the weights and formats.
        masks: operand -> dropout mask.
    """

    def __init__(self, step, masks=None):
        self._step, self._masks = step, masks or {}

    def product(self, name, x):
        step = self._step
        weights = step.weights[name]
        centred = tf.cast(x.integers - x.quantization.zero_point, tf.float32)
        mask = self._masks.get(step.cell.products[name].operand)
        if mask is not None:  # makes fractions
            centred = centred * mask
        sums = exact_product(centred, weights.integers, step.dtype)
        sums = tf.cast(sums if mask is None else tf.round(sums), tf.int64)
        if weights.bias is not None:
            sums += weights.bias
        held = step.formats[name]
        return self._made(
            name, integer.rescaled(sums, weights.factor, held, step.dtype, step.dtype == np.int16)
        )

    def activated(self, name, total, function, x, y):
        made = name if function.is_fused else total
        addition = self._addition(made, x.quantization, y.quantization)
        a = addition.total(
            addition.term(x.integers, 0), addition.term(y.integers, 1), FUSED.get(function.name)
        )
        if function.is_fused or function.name == "linear":
            return self._made(made, a)
        return self.activate(name, function, Value(a, self._step.formats[total]))

    def activate(self, name, function, x):
        return x if function.name == "linear" else self._made(name, self._activated(name, function, x))

    def _activated(self, name, function, x):
        """Returns the integers of φ(x)."""
        step, held = self._step, self._step.formats[name]
        if function.is_fused:
            addition = self._addition(name, x.quantization, x.quantization)
            zero = tf.zeros_like(x.integers) + x.quantization.zero_point
            return addition.total(addition.term(x.integers, 0), addition.term(zero, 1), FUSED[function.name])
        if step.dtype == np.int8:
            table = step.once((name, "table"), lambda: _table(function, x.quantization, held))
            return tf.gather(table, x.integers - INT8_MIN)
        if function.name in _KERNELS:
            return _KERNELS[function.name](x.integers, x.quantization, step.dtype)
        three, sixth = (rules.constant(number) for number in (3.0, 1 / 6))  # of a hard sigmoid
        addition = integer.Addition.of(x.quantization, three[1], rules.SIX, step.dtype)
        term = addition.term(tf.zeros_like(x.integers) + three[0], 1)
        shifted = addition.total(addition.term(x.integers, 0), term, "RELU6")
        return integer.mul(shifted, sixth[0], rules.SIX, sixth[1], held, dtype=step.dtype)

    def times(self, name, x, y):
        return self._made(name, self._product(name, x, y, self._step.formats[name]))

    def read(self, name, state):
        """The value of a kept state as a signal; with int16 the same."""
        step, held = self._step, self._step.formats[name]
        dtype, kept = step.state_format(state.name)
        if (dtype, kept) == (step.dtype, held):
            return Value(state.value, held)
        integers = self._requantized((name, "read"), state.value, kept, held, step.dtype)
        return Value(integers, held)

    def keep(self, state, x):
        return Kept(state, x.integers)

    def blend(self, state, h, new, gate, opens):
        step = self._step
        if step.dtype == np.int16:
            signal = self.read(state, h)
            start, end = (signal, new) if opens else (new, signal)
            change = self._sum(state + rules.CHANGE, end, start, -1)
            return self.keep(state, self._sum(state, start, self.times(state + rules.KEPT, gate, change), 1))
        held = step.formats[state]
        new = (
            new.integers
            if new.quantization is held
            else self._requantized((state, "new"), new.integers, new.quantization, held, step.dtype)
        )
        opening = gate.integers - gate.quantization.zero_point
        if not opens:
            opening = rules.one(gate.quantization) - opening
        return Kept(state, h.value + opening * (new - self.read(state, h).integers))

    def accumulate(self, state, c, forget, enter, new):
        step = self._step
        if step.dtype == np.int16:
            kept = self.times(state + rules.KEPT, forget, self.read(state, c))
            added = self.times(state + rules.ADDED, enter, new)
            return self.keep(state, self._sum(state, kept, added, 1))
        dtype, held = step.state_format(state)
        factors = step.once((state, "factors"), lambda: rules.cell_factors(new.quantization, held))
        kept = (forget.integers - forget.quantization.zero_point) * c.value
        added = _centred(enter) * _centred(new)
        scale = held.scale * forget.quantization.scale / tf.cast(factors[0], tf.float64)
        sums = kept * factors[0] + added * factors[1]
        return Kept(state, self._requantized((state, "kept"), sums, Quantization(scale, 0), held, dtype))

    def leak(self, state, h, new, alpha, beta):
        step = self._step
        signal = self.read(state, h)
        if step.dtype == np.int16:
            added = self._scaled(state + rules.ADDED, new, alpha)
            kept = self._scaled(state + rules.KEPT, signal, beta)
            return self.keep(state, self._sum(state, added, kept, 1))
        gained, lost = step.once(
            (state, "factors"),
            lambda: rules.leak_factors(stopped(alpha), stopped(beta), new.quantization, signal.quantization),
        )
        return Kept(state, h.value + gained * _centred(new) - lost * _centred(signal))

    def split(self, x, parts):
        return [Value(integers, x.quantization) for integers in tf.split(x.integers, parts, -1)]

    def _made(self, name, integers):
        return Value(integers, self._step.formats[name])

    def _addition(self, name, one, other):
        step = self._step
        return step.once(
            (name, "sum"), lambda: integer.Addition.of(one, other, step.formats[name], step.dtype)
        )

    def _sum(self, name, x, y, sign):
        addition = self._addition(name, x.quantization, y.quantization)
        return self._made(
            name, addition.total(addition.term(x.integers, 0), sign * addition.term(y.integers, 1))
        )

    def _scaled(self, name, x, factor):
        constant = self._step.once((name, "constant"), lambda: Value(*rules.constant(stopped(factor))))
        return self.times(name, x, constant)

    def _product(self, name, x, y, held):
        """MUL."""
        factor = self._step.once(
            (name, "factor"),
            lambda: fixed_point.factor(
                integer.f32(x.quantization.scale)
                * integer.f32(y.quantization.scale)
                / integer.f32(held.scale)
            ),
        )
        return integer.rescaled(_centred(x) * _centred(y), factor, held, self._step.dtype, long=False)

    def _requantized(self, key, integers, source, target, dtype):
        """QUANTIZE."""
        factor = self._step.once(
            key, lambda: fixed_point.factor(integer.f32(source.scale) / integer.f32(target.scale))
        )
        return integer.rescaled(integers - source.zero_point, factor, target, dtype, long=False)


def _centred(x):
    return x.integers - x.quantization.zero_point


def _table(function, source, held):
    """Returns φ of all int8 numbers."""
    every = tf.range(INT8_MIN, INT8_MAX + 1, dtype=tf.int64)
    if function.name in _KERNELS:
        return _KERNELS[function.name](every, source, np.int8)
    points = tf.cast(every - source.zero_point, tf.float64) * source.scale
    rounded = tf.round(function(tf.cast(points, tf.float32)) / tf.cast(held.scale, tf.float32))
    return tf.stop_gradient(integer.clamp(tf.cast(rounded, tf.int64) + held.zero_point, held, np.int8))


def stopped(tensor):
    """Returns a tensor without its gradient, or None."""
    return None if tensor is None else tf.stop_gradient(tensor)
