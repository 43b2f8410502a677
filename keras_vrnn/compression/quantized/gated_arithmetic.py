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
from keras_vrnn.quantization.cells import formats as rules
from keras_vrnn.quantization.cells.arithmetic import Arithmetic
from keras_vrnn.quantization.cells.formatting import ARGUMENT
from keras_vrnn.quantization.formats import INT8_MAX, INT8_MIN, Quantization
from keras_vrnn.quantization.schemes import Stored
from keras_vrnn.quantization.vanilla import FUSED


@dataclass(frozen=True)
class Value:
    """A signal.

    Attributes:
        real: float32, with the gradient of the float step.
        integers: int64, what it stands for.
        quantization: their format.
        dtype: int8 or int16.
    """

    real: Any
    integers: Any
    quantization: Quantization
    dtype: Any

    @classmethod
    def of(cls, real, quantization, dtype):
        """Returns real numbers on the grid of a format as a value."""
        return cls(real, signals.integers_of(real, quantization), quantization, np.dtype(dtype))


class Trained(Arithmetic):
    """Computes with `Value`s.

    Args:
        step: the `GatedStep`, which has the weights and formats.
        masks: operand -> dropout mask.

    Attributes:
        measured: signal -> its real numbers before they are clipped.
    """

    def __init__(self, step, masks=None):
        self._step, self._masks = step, masks or {}
        self.measured = {}

    def _made(self, name, real, integers, quantization, dtype, measure=True):
        if measure:
            self.measured[name] = real
        low, high = (tf.cast(end, tf.float32) for end in integer.real_ends(quantization, dtype))
        exact = integer.dequantize(integers, quantization)
        real = signals.straight_through(tf.clip_by_value(real, low, high), exact)
        return Value(real, integers, quantization, dtype)

    def product(self, name, x):
        step = self._step
        weights, held = step.weights[name], step.formats[name]
        real, centred = x.real, tf.cast(x.integers - x.quantization.zero_point, tf.float32)
        mask = self._masks.get(step.cell.products[name].operand)
        if mask is not None:  # a dropout mask makes fractions
            real, centred = real * mask, centred * mask
        sums = exact_product(tf.stop_gradient(centred), weights.integers, step.scheme.dtype)
        sums = tf.cast(sums if mask is None else tf.round(sums), tf.int64)
        if weights.bias is not None:
            sums += weights.bias
        long = step.scheme.dtype == np.int16
        made = integer.rescaled(sums, weights.factor, held, step.scheme.dtype, long)
        return self._made(
            name, tf.matmul(real, weights.real) + weights.real_bias, made, held, step.scheme.dtype
        )

    def narrow(self, name, x):
        held, dtype = self._step.formats[name], self._step.scheme.dtype
        if x.dtype == dtype:
            return x
        made = integer.requantize(x.integers, x.quantization, held, dtype)
        return self._made(name, x.real, made, held, dtype, measure=name not in self._step.cell.states)

    def activated(self, name, total, function, x, y):
        step = self._step
        is_narrow = total in step.formats
        if not is_narrow:
            x, y = self._wide(x), self._wide(y)
        held = (step.formats if is_narrow else step.wide)[name if function.is_fused else total]
        dtype = x.dtype
        fused = FUSED.get(function.name)
        addition = integer.Addition.of(x.quantization, y.quantization, held, dtype)
        made = addition.total(addition.term(x.integers, 0), addition.term(y.integers, 1), fused)
        a = x.real + y.real
        self.measured[total] = a
        if function.is_fused:
            return self._wide(self._made(name, function(a), made, held, dtype))
        return self.activate(name, function, self._made(total, a, made, held, dtype, measure=False))

    def activate(self, name, function, x):
        step = self._step
        if rules.is_table(function.name, step.scheme.dtype):
            argument = self.narrow(name + ARGUMENT, x) if x.dtype != step.scheme.dtype else x
            return self._wide(self._looked_up(name, function, argument))
        x, held = self._wide(x), step.wide[name]
        if function.name == "linear":
            self.measured[name] = x.real
            return x
        if function.is_fused:
            made = self._plus(x, 0.0, held, FUSED[function.name])
        elif function.name == "hard_sigmoid":
            shifted = self._plus(x, 3.0, rules.SIX, "RELU6")
            sixth, form = rules.constant(1 / 6, None)
            made = integer.mul(shifted, np.int64(sixth), rules.SIX, form, held, dtype=np.int16)
        else:
            kernel = {"tanh": integer.tanh, "sigmoid": integer.logistic}[function.name]
            made = kernel(x.integers, x.quantization, np.int16)
        return self._made(name, function(x.real), made, held, np.dtype("int16"))

    def total(self, name, x, y):
        return self._sum(name, x, y, 1)

    def difference(self, name, x, y):
        return self._sum(name, x, y, -1)

    def _sum(self, name, x, y, sign):
        x, y, held = self._wide(x), self._wide(y), self._step.wide[name]
        addition = integer.Addition.of(x.quantization, y.quantization, held, x.dtype)
        made = addition.total(addition.term(x.integers, 0), sign * addition.term(y.integers, 1))
        return self._made(name, x.real + sign * y.real, made, held, x.dtype)

    def times(self, name, x, y):
        x, y, held = self._wide(x), self._wide(y), self._step.wide[name]
        made = integer.mul(x.integers, y.integers, x.quantization, y.quantization, held, dtype=x.dtype)
        return self._made(name, x.real * y.real, made, held, x.dtype)

    def scaled(self, name, x, factor):
        x, held, constant = self._wide(x), self._step.wide[name], self._step.factors[name]
        made = integer.mul(
            x.integers, constant.integers, x.quantization, constant.quantization, held, dtype=x.dtype
        )
        return self._made(name, x.real * constant.real, made, held, x.dtype)

    def split(self, x, parts):
        pieces = zip(*(tf.split(each, parts, -1) for each in (x.real, x.integers)), strict=True)
        return [Value(real, integers, x.quantization, x.dtype) for real, integers in pieces]

    def _wide(self, x):
        if x.dtype == np.int16:
            return x
        integers = (x.integers - x.quantization.zero_point) * 128
        return Value(x.real, integers, rules.widened(x.quantization), np.dtype("int16"))

    def _plus(self, x, number, held, fused):
        """Returns the integers of x + a constant, with a fused activation."""
        constant, form = rules.constant(number, x.quantization)
        addition = integer.Addition.of(x.quantization, form, held, x.dtype)
        term = addition.term(tf.fill(tf.shape(x.integers), np.int64(constant)), 1)
        return addition.total(addition.term(x.integers, 0), term, fused)

    def _looked_up(self, name, function, x):
        held = self._step.formats[name]
        every = tf.range(INT8_MIN, INT8_MAX + 1, dtype=tf.int64)
        real = function(
            tf.cast(tf.cast(every - x.quantization.zero_point, tf.float64) * x.quantization.scale, tf.float32)
        )
        rounded = tf.round(real / tf.cast(held.scale, tf.float32))
        table = integer.clamp(tf.cast(rounded, tf.int64) + held.zero_point, held, np.int8)
        made = tf.gather(tf.stop_gradient(table), x.integers - INT8_MIN)
        return self._made(name, function(x.real), made, held, np.dtype("int8"))


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
        formats, wide: signal -> format.

    Attributes:
        states: the names of the states.
        weights: product -> its weights.
        products: product -> its weights and its bias or None, as the file holds them.
        factors: signal -> the `Value` that it is scaled by.
        constants: the same, as the file holds them.
    """

    def __init__(self, cell, scheme, formats, wide):
        self.cell, self.scheme, self.formats, self.wide = cell, scheme, formats, wide
        self.states = cell.states
        self.weights = {name: self._weights(name, product) for name, product in cell.products.items()}
        self.products = {name: weights.stored for name, weights in self.weights.items()}
        self.factors = {name: _constant(factor) for name, factor in cell.factors.items()}
        self.constants = {
            name: Stored(value.integers, value.quantization) for name, value in self.factors.items()
        }

    def project(self, x, masks):
        """Returns the input products of all steps as real numbers, and the signals to measure."""
        on = Trained(self, masks)
        x = Value.of(x, self.formats["x"], self.scheme.dtype)
        return tuple(on.product(name, x).real for name in self.cell.projections), on.measured

    def __call__(self, z, states, mask=None, masks=None):
        """One step.

        Args:
            z: the input products of the step, real numbers.
            states: the last states, real numbers.
            mask: (batch, 1), False where the states stay as they are; or None.
            masks: operand -> dropout mask.

        Returns:
            The states, the output, and the signals to measure.
        """
        cell, on = self.cell, Trained(self, masks)
        products = [
            Value.of(real, self.formats[name], self.scheme.dtype)
            for name, real in zip(cell.projections, z, strict=True)
        ]
        before = [
            Value.of(real, self.wide[name], np.int16) for name, real in zip(cell.states, states, strict=True)
        ]
        new = cell.equations(on, tuple(products), tuple(before))
        real = [value.real for value in new]
        if mask is not None:
            real = [tf.where(mask, *pair) for pair in zip(real, states, strict=True)]
        measured = on.measured | {name: value.real for name, value in zip(cell.states, new, strict=True)}
        return real, self.as_value(cell.states[0], real[0]), measured

    def as_value(self, state, real):
        """Returns a state in the format in which the rest of the model reads it."""
        value = Value.of(real, self.wide[state], np.int16)
        held = self.formats[state]
        return signals.carrying(Trained(self).narrow(state, value).real, held)

    def _weights(self, name, product):
        x, held = self.formats[product.operand], self.formats[name]
        matrix, bias = (stopped(w) for w in (product.matrix, product.bias))
        stored, stored_bias = self.scheme.product(matrix, bias, x, held)
        scale = stored.quantization.scale
        integers = tf.transpose(tf.cast(stored.array, tf.float32))
        exact = integers * tf.cast(scale, tf.float32)
        factor = fixed_point.factor(integer.product_factors(x, stored.quantization, held, single=True))
        return _Weights(
            real=signals.straight_through(product.matrix, exact),
            real_bias=0.0 if bias is None else product.bias,
            integers=integers,
            bias=None if bias is None else tf.cast(stored_bias.array, tf.int64),
            factor=factor,
            stored=(stored, stored_bias),
        )


def _constant(real):
    integers, form = rules.constant(stopped(real), None)
    exact = integer.dequantize(integers, form)
    return Value(signals.straight_through(real, exact), integers, form, np.dtype("int16"))


def stopped(tensor):
    """Returns a tensor without its gradient, or None."""
    return None if tensor is None else tf.stop_gradient(tensor)
