"""The step of a gated cell inside a TensorFlow graph, as the exported file computes it.

Every value is a real number on the grid of its format, and the integer that it stands for. Gradients pass through the
rounding as if it were the identity, within the range of each format.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.step import exact_product
from keras_vrnn.quantization import fixed_point, integer
from keras_vrnn.quantization.cells import states as rules
from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.formats import INT8_MAX, INT8_MIN, Quantization
from keras_vrnn.quantization.vanilla import FUSED

_KERNELS = {"tanh": integer.tanh, "sigmoid": integer.logistic}


@dataclass(frozen=True)
class Value:
    """A signal.

    Attributes:
        real: float32, with the gradient of the float step.
        integers: int64, what it stands for.
        quantization: their format.
    """

    real: Any
    integers: Any
    quantization: Quantization


@dataclass(frozen=True)
class Kept:
    """A state as the recurrence keeps it: its name, real numbers with gradients, and integers, int64."""

    name: str
    real: Any
    integers: Any


class Trained(Arithmetic):
    """Computes with `Value`s and `Kept` states.

    Args:
        step: the `GatedStep`, which has the weights and formats.
        masks: operand -> dropout mask.

    Attributes:
        measured: signal -> its real numbers before they are clipped.
    """

    def __init__(self, step, masks=None):
        self._step, self._masks = step, masks or {}
        self.measured = {}

    def product(self, name, x):
        step = self._step
        weights, held = step.weights[name], step.formats[name]
        real, centred = x.real, tf.cast(x.integers - x.quantization.zero_point, tf.float32)
        mask = self._masks.get(step.cell.products[name].operand)
        if mask is not None:  # a dropout mask makes fractions
            real, centred = real * mask, centred * mask
        sums = exact_product(tf.stop_gradient(centred), weights.integers, step.dtype)
        sums = tf.cast(sums if mask is None else tf.round(sums), tf.int64)
        if weights.bias is not None:
            sums += weights.bias
        made = integer.rescaled(sums, weights.factor, held, step.dtype, step.dtype == np.int16)
        return self._made(name, tf.matmul(real, weights.real) + weights.real_bias, made)

    def activated(self, name, total, function, x, y):
        made = name if function.is_fused else total
        addition = self._addition(x.quantization, y.quantization, self._step.formats[made])
        terms = addition.term(x.integers, 0), addition.term(y.integers, 1)
        a = x.real + y.real
        self.measured[total] = a
        if function.is_fused:
            return self._made(name, function(a), addition.total(*terms, FUSED[function.name]))
        return self.activate(name, function, self._made(total, a, addition.total(*terms)))

    def activate(self, name, function, x):
        real = function(x.real)
        if function.name == "linear":
            self.measured[name] = real
            return x
        return self._made(name, real, self._activated(name, function, x))

    def _activated(self, name, function, x):
        """Returns the integers of φ(x)."""
        step, held = self._step, self._step.formats[name]
        if function.is_fused:
            addition = self._addition(x.quantization, x.quantization, held)
            zero = tf.zeros_like(x.integers) + x.quantization.zero_point
            return addition.total(addition.term(x.integers, 0), addition.term(zero, 1), FUSED[function.name])
        if function.name in _KERNELS:
            return _KERNELS[function.name](x.integers, x.quantization, step.dtype)
        if step.dtype == np.int8:
            return self._looked_up(function, x, held)
        three, sixth = (rules.constant(number) for number in (3.0, 1 / 6))  # of a hard sigmoid
        addition = self._addition(x.quantization, three[1], rules.SIX)
        term = addition.term(tf.zeros_like(x.integers) + three[0], 1)
        shifted = addition.total(addition.term(x.integers, 0), term, "RELU6")
        return integer.mul(shifted, sixth[0], rules.SIX, sixth[1], held, dtype=step.dtype)

    def _looked_up(self, function, x, held):
        every = tf.range(INT8_MIN, INT8_MAX + 1, dtype=tf.int64)
        points = tf.cast(every - x.quantization.zero_point, tf.float64) * x.quantization.scale
        rounded = tf.round(function(tf.cast(points, tf.float32)) / tf.cast(held.scale, tf.float32))
        table = integer.clamp(tf.cast(rounded, tf.int64) + held.zero_point, held, np.int8)
        return tf.gather(tf.stop_gradient(table), x.integers - INT8_MIN)

    def times(self, name, x, y):
        held, dtype = self._step.formats[name], self._step.dtype
        made = integer.mul(x.integers, y.integers, x.quantization, y.quantization, held, dtype=dtype)
        return self._made(name, x.real * y.real, made)

    def read(self, name, state):
        """The value of a kept state as a signal; with int16 the same."""
        step, held = self._step, self._step.formats[name]
        dtype, kept = step.state_format(state.name)
        real, integers = state.real, state.integers
        if (dtype, kept) != (step.dtype, held):
            integers = integer.requantize(integers, kept, held, step.dtype)
        if name == state.name:
            return self._value(real, integers, held)
        return self._made(name, real, integers)

    def keep(self, state, x):
        return Kept(state, x.real, x.integers)

    def blend(self, state, h, new, gate, opens):
        step = self._step
        if step.dtype == np.int16:
            signal = self.read(state, h)
            start, end = (signal, new) if opens else (new, signal)
            change = self._sum(state + rules.CHANGE, end, start, -1)
            return self.keep(state, self._sum(state, start, self.times(state + rules.KEPT, gate, change), 1))
        held = step.formats[state]
        signal, new = self.read(state, h), self._in_format(new, held)
        opening = gate.integers - gate.quantization.zero_point
        if not opens:
            opening = rules.one(gate.quantization) - opening
        integers = h.integers + opening * (new.integers - signal.integers)
        gate = gate.real if opens else 1.0 - gate.real
        return self._kept(state, h.real + gate * (new.real - signal.real), integers)

    def accumulate(self, state, c, forget, enter, new):
        step = self._step
        if step.dtype == np.int16:
            kept = self.times(state + rules.KEPT, forget, self.read(state, c))
            added = self.times(state + rules.ADDED, enter, new)
            return self.keep(state, self._sum(state, kept, added, 1))
        dtype, held = step.state_format(state)
        factors = rules.cell_factors(new.quantization, held)
        kept = (forget.integers - forget.quantization.zero_point) * c.integers
        added = (enter.integers - enter.quantization.zero_point) * (
            new.integers - new.quantization.zero_point
        )
        scale = held.scale * forget.quantization.scale / tf.cast(factors[0], tf.float64)
        exact = Quantization(scale, 0)
        integers = integer.requantize(kept * factors[0] + added * factors[1], exact, held, dtype)
        return self._kept(state, forget.real * c.real + enter.real * new.real, integers)

    def leak(self, state, h, new, alpha, beta):
        step = self._step
        signal = self.read(state, h)
        if step.dtype == np.int16:
            added = self._scaled(state + rules.ADDED, new, alpha)
            kept = self._scaled(state + rules.KEPT, signal, beta)
            return self.keep(state, self._sum(state, added, kept, 1))
        gained, lost = rules.leak_factors(
            stopped(alpha), stopped(beta), new.quantization, signal.quantization
        )
        integers = h.integers + gained * (new.integers - new.quantization.zero_point)
        integers -= lost * (signal.integers - signal.quantization.zero_point)
        return self._kept(state, h.real + alpha * new.real - (1.0 - beta) * signal.real, integers)

    def _made(self, name, real, integers):
        """Returns a signal with the gradient of real numbers within its format's range."""
        self.measured[name] = real
        return self._value(real, integers, self._step.formats[name])

    def _value(self, real, integers, held):
        dtype = self._step.dtype
        low, high = (tf.cast(end, tf.float32) for end in integer.real_ends(held, dtype))
        real = signals.straight_through(tf.clip_by_value(real, low, high), integer.dequantize(integers, held))
        return Value(real, integers, held)

    def _kept(self, state, real, integers):
        """Returns a new state with the gradient of real numbers."""
        _, held = self._step.state_format(state)
        self.measured[state] = real
        return Kept(state, signals.straight_through(real, integer.dequantize(integers, held)), integers)

    def _addition(self, one, other, result):
        return integer.Addition.of(one, other, result, self._step.dtype)

    def _sum(self, name, x, y, sign):
        addition = self._addition(x.quantization, y.quantization, self._step.formats[name])
        made = addition.total(addition.term(x.integers, 0), sign * addition.term(y.integers, 1))
        return self._made(name, x.real + sign * y.real, made)

    def _scaled(self, name, x, factor):
        integers, form = rules.constant(stopped(factor))
        made = integer.mul(
            x.integers, integers, x.quantization, form, self._step.formats[name], dtype=self._step.dtype
        )
        return self._made(name, x.real * factor, made)

    def _in_format(self, x, held):
        if x.quantization is held:
            return x
        integers = integer.requantize(x.integers, x.quantization, held, self._step.dtype)
        return self._value(x.real, integers, held)

    def split(self, x, parts):
        pieces = zip(*(tf.split(each, parts, -1) for each in (x.real, x.integers)), strict=True)
        return [Value(real, integers, x.quantization) for real, integers in pieces]


@dataclass(frozen=True)
class _Weights:
    """The weights of one product: real numbers with gradients, and integers without."""

    real: Any
    real_bias: Any
    integers: Any
    bias: Any
    factor: Any
    stored: tuple[Any, Any]


class GatedStep:
    """The weights and formats of one layer.

    Args:
        cell: its `GatedCell` of tensors.
        scheme: the quantization scheme.
        formats: signal -> format.
        kept: state -> the format in which the recurrence keeps it, and its dtype.

    Attributes:
        states: the names of the states.
        dtype: the dtype of the signals.
        weights: product -> its weights.
        products: product -> its weights and its bias or None, as the file holds them.
        constants: state -> its integer factors.
    """

    def __init__(self, cell, scheme, formats, kept):
        self.cell, self.scheme, self.formats, self.kept = cell, scheme, formats, kept
        self.states, self.dtype = cell.states, scheme.dtype
        self.weights = {name: self._weights(name, product) for name, product in cell.products.items()}
        self.products = {name: weights.stored for name, weights in self.weights.items()}
        self.constants = {} if self.dtype == np.int16 else cell.factors(formats)

    def state_format(self, name):
        """Returns the dtype and the format in which the recurrence keeps a state."""
        held, dtype = self.kept[name]
        return dtype, held

    def project(self, x, masks):
        """Returns the input products of all steps as real numbers, and the signals to measure."""
        on = Trained(self, masks)
        x = self._signal(x, "x")
        return tuple(on.product(name, x).real for name in self.cell.projections), on.measured

    def __call__(self, z, states, mask=None, masks=None):
        """One step.

        Args:
            z: the input products of the step, real numbers.
            states: for each of the last states its real numbers and integers.
            mask: (batch, 1), False where the states stay as they are; or None.
            masks: operand -> dropout mask.

        Returns:
            The states in the same form, the output, and the signals to measure.
        """
        cell, on = self.cell, Trained(self, masks)
        products = tuple(self._signal(real, name) for name, real in zip(cell.projections, z, strict=True))
        before = tuple(Kept(name, *state) for name, state in zip(cell.states, states, strict=True))
        new = cell.equations(on, products, before)
        if mask is not None:
            new = [
                Kept(n.name, tf.where(mask, n.real, o.real), tf.where(mask, n.integers, o.integers))
                for n, o in zip(new, before, strict=True)
            ]
        output = Trained(self).read(cell.states[0], new[0]).real
        return [(state.real, state.integers) for state in new], output, on.measured

    def start(self, name, state, source=None):
        """Returns a state of real numbers as its real numbers and integers.

        Args:
            name: the state.
            state: real numbers, as it is kept or in the format `source`.
            source: the format of a signal, which is brought to that of the state; None for zeros or a kept state.
        """
        dtype, held = self.state_format(name)
        if source is not None:
            signal = self.formats[name]
            integers = signals.integers_of(state, source)
            if dtype == np.int16:
                integers = integer.requantize(integers, source, held, dtype)
            else:
                integers = integer.requantize(integers, source, signal, self.dtype) - signal.zero_point
                factor = tf.round(signal.scale / held.scale) if dtype == np.int32 else 1
                integers = integers * tf.cast(factor, tf.int64) + (held.zero_point if dtype == np.int8 else 0)
        else:
            integers = signals.integers_of(state, held)
        return signals.straight_through(state, integer.dequantize(integers, held)), integers

    def as_value(self, name, state):
        """Returns a kept state, real numbers and integers, as a signal that carries its format."""
        return signals.carrying(Trained(self).read(name, Kept(name, *state)).real, self.formats[name])

    def _signal(self, real, name):
        held = self.formats[name]
        return Value(real, signals.integers_of(real, held), held)

    def _weights(self, name, product):
        x, held = self.formats[product.operand], self.formats[name]
        matrix, bias = (stopped(w) for w in (product.matrix, product.bias))
        stored, stored_bias = self.scheme.product(matrix, bias, x, held)
        integers = tf.transpose(tf.cast(stored.array, tf.float32))
        exact = integers * tf.cast(stored.quantization.scale, tf.float32)
        factor = fixed_point.factor(integer.product_factors(x, stored.quantization, held, single=True))
        return _Weights(
            real=signals.straight_through(product.matrix, exact),
            real_bias=0.0 if bias is None else product.bias,
            integers=integers,
            bias=None if bias is None else tf.cast(stored_bias.array, tf.int64),
            factor=factor,
            stored=(stored, stored_bias),
        )


def stopped(tensor):
    """Returns a tensor without its gradient, or None."""
    return None if tensor is None else tf.stop_gradient(tensor)
