"""The recurrence over some steps with integers forward and straight-through gradients backward.

forward     the integers of the exported file, by `Step`
backward    that of `layers.block.Block`, at the real numbers that these integers stand for: rounding counts as the
identity (straight-through estimator, Bengio et al. 2013, section 4)
"""

import dataclasses
from typing import Any

import tensorflow as tf

from keras_vrnn.layers.block import Block, given
from keras_vrnn.layers.scan import scan


@dataclasses.dataclass(frozen=True)
class QuantizedBlock(Block):
    """A `Block` that computes with integers.

    Args:
        integers: the `Step`.
        input_mask: the dropout mask of x, or None.
        observe: a tensor of bool, whether `observed` measures.
    """

    integers: Any
    input_mask: Any = None
    observe: Any = True

    def observed(self, x, mask, state, *weights):
        """Returns the result, and the (lowest, highest) of "z", "r", "a" and "h" before clipping, (4, 2).

        They are measured where `observe` is true; elsewhere they are zeros.
        """

        @tf.custom_gradient
        def recurrence(x, state, *weights):
            last, before, extremes = tf.cond(
                self.observe,
                lambda: self._forward(x, mask, state, observe=True),
                lambda: self._forward(x, mask, state, observe=False),
            )

            def gradient(upstream, _):
                return self.backward(x, mask, last, before, *self.arriving(upstream), *weights)

            return (self.output(last, before), extremes), gradient

        return recurrence(x, state, *weights)

    def forward(self, x, mask, state, recurrent_kernel, kernel, *bias):
        last, before, _ = self._forward(x, mask, state, observe=False)
        return last, before

    def backward(self, x, mask, last, before, dh, dy, recurrent_kernel, kernel, *bias):
        weights = self.integers.real_weights()
        if self.input_mask is not None:
            dx, *rest = super().backward(x * self.input_mask, mask, last, before, dh, dy, *weights, *bias)
            return dx * self.input_mask, *rest
        return super().backward(x, mask, last, before, dh, dy, *weights, *bias)

    def _forward(self, x, mask, state, observe):
        integers = self.integers
        z, real_z = integers.project(x, self.input_mask)

        def step(h, inputs):
            z_t, *mask_t = inputs
            new, sums = integers(z_t, h, self.recurrent_mask)
            if mask_t:
                new = tf.where(mask_t[0], new, h)
            return new, (h, sums) if observe else h

        start = integers.centred(state, integers.h)
        like = (start, start) if observe else start
        last, made = scan(step, start, batch_major=given(z, mask), like=like, **self.loop)
        before, sums = made if observe else (made, None)
        extremes = self._extremes(real_z, sums, mask) if observe else tf.zeros((4, 2))
        return integers.real(last), integers.real(before), extremes

    def _extremes(self, z, sums, mask):
        r = self.integers.real_r(tf.transpose(sums, (1, 0, 2)))
        signals = [z, r, z + r, self.activation(z + r)]
        if mask is not None:
            signals = [tf.where(mask, signal, tf.zeros_like(signal)) for signal in signals]
        # Over the units last, since XLA runs reductions over the outer axes with vector instructions.
        ends = [
            [reduce(reduce(signal, axis=(0, 1))) for reduce in (tf.reduce_min, tf.reduce_max)]
            for signal in signals
        ]
        return tf.convert_to_tensor(ends)
