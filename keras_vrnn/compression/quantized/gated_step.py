"""The recurrence of a gated layer: integers forward, and gradients of real numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.gated_arithmetic import Integers, Kept, Value, stopped
from keras_vrnn.compression.quantized.gated_gradients import Reals, one_step, routed, through_time
from keras_vrnn.layers.block import given
from keras_vrnn.layers.scan import scan
from keras_vrnn.quantization import fixed_point, integer


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
        self.states, self.dtype = cell.states, np.dtype(scheme.dtype)
        self.weights = {name: self._weights(name, product) for name, product in cell.products.items()}
        self.products = {name: weights.stored for name, weights in self.weights.items()}
        self.constants = {} if self.dtype == np.int16 else cell.factors(formats)
        self._made = {}

    def once(self, key, make):
        """Returns what `make` returned at the first call with that key.

        `run` computes a step before its loop: what is made then is not made at each turn.
        """
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def state_format(self, name):
        """Returns the dtype and the format in which the recurrence keeps a state."""
        held, dtype = self.kept[name]
        return dtype, held

    def run(self, x, start, mask, masks, loop):
        """Runs over time.

        Args:
            x: real numbers in the format of the input, (time, batch, features).
            start: for each state its real numbers and integers, as `start` returns them.
            mask: (time, batch, 1), False where the states stay as they are; or None.
            masks: operand -> dropout mask.
            loop: arguments of `scan`.

        Returns:
            The new states of all steps, real numbers, time-major; and signal -> its numbers before they are clipped.
        """
        real_start, whole_start = zip(*start, strict=True)
        on, cell = Integers(self, masks), self.cell
        z = [on.product(name, self._signal(x, "x")) for name in cell.projections]
        formats = [each.quantization for each in z]

        def turn(states, inputs):
            z_t = tuple(
                Value(tf.cast(each, tf.int64), held) for each, held in zip(inputs, formats, strict=False)
            )
            kept = tuple(Kept(name, state) for name, state in zip(cell.states, states, strict=True))
            new = tuple(state.value for state in cell.equations(Integers(self, masks), z_t, kept))
            if mask is not None:
                new = tuple(tf.where(inputs[-1], made, old) for made, old in zip(new, states, strict=True))
            return new, states

        inputs = given(*(tf.cast(each.integers, self.dtype) for each in z), mask)
        turn(whole_start, [each[0] for each in inputs])  # for `once`
        last, before = scan(turn, whole_start, inputs, like=whole_start, **loop)
        after = [_shifted(*each, loop["reverse"]) for each in zip(before, last, strict=True)]
        before, after = ([*map(self._real, cell.states, each)] for each in (before, after))
        projected, reals = Reals(self, masks), Reals(self, masks)
        real_z = tuple(projected.product(name, x) for name in cell.projections)
        new = one_step(self, reals, before, mask, real_z)
        new = [routed(made, exact, 1.0) for made, exact in zip(new, after, strict=True)]
        states = through_time(self, real_start, before, reals, new, mask, masks, loop)
        return states, projected.measured | reals.measured

    def _real(self, name, state):
        return tf.stop_gradient(integer.dequantize(state, self.state_format(name)[1]))

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

    def as_signal(self, name, state):
        """Returns states of real numbers, as they are kept, as a signal that carries its format."""
        integers = signals.integers_of(state, self.state_format(name)[1])
        read = Integers(self).read(name, Kept(name, integers))
        return signals.rounded(state, read.integers, read.quantization, self.dtype)

    def _signal(self, real, name):
        held = self.formats[name]
        return Value(signals.integers_of(real, held), held)

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


def _shifted(before, last, reverse):
    """Returns the states after each step, of those before each and the last."""
    last = last[None]
    return tf.concat([last, before[:-1]] if reverse else [before[1:], last], 0)
