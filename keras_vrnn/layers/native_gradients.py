"""Derivatives of the ops of the native kernel.

first       the kernel's own BPTT; by `Block` where TensorFlow may not run the kernel
second      those of `Block`, which computes the same numbers with TensorFlow's operations
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import keras
from keras import ops

from keras_vrnn.layers.block import Block, given
from keras_vrnn.layers.blocks import LONG
from keras_vrnn.layers.native_path import NAMES, is_allowed
from keras_vrnn.native import kernel as native_kernel

_ACTIVATIONS = {
    number: getattr(keras.activations, name) for name, number in native_kernel.ACTIVATIONS.items()
}


@functools.cache
def register() -> None:
    """Tells TensorFlow the derivatives of both ops."""
    import tensorflow as tf

    tf.RegisterGradient("KerasVrnnRecurrence")(_first)
    tf.RegisterGradient("KerasVrnnRecurrenceGradient")(_second)


class _Op(NamedTuple):
    """An op of the kernel as a `Recurrence` and a `Block`."""

    recurrence: native_kernel.Recurrence
    block: Block

    @property
    def name(self):
        return NAMES[self.block.activation]

    @property
    def weights(self):
        """The weights in the order of `Block`."""
        return self.recurrence.recurrent_kernel, self.recurrence.kernel, *given(self.recurrence.bias)


def _read(op):
    x, state, kernel, recurrent_kernel, *optional = op.inputs[:7]
    bias, mask, recurrent_mask = map(_if_given, optional)
    recurrence = native_kernel.Recurrence(x, state, kernel, recurrent_kernel, bias, mask, recurrent_mask)
    activation, reverse = _ACTIVATIONS[op.get_attr("activation")], op.get_attr("reverse")
    return _Op(recurrence, Block(activation, recurrence.recurrent_mask, True, reverse, False))


def _if_given(tensor):
    """Undoes what `kernel` does with an input that is not given: a tensor without any size."""
    return None if not any(size != 0 for size in tensor.shape) else tensor


def _first(op, d_last, d_hidden):
    """∂L/∂ of each input of the op, of ∂L/∂h_T and ∂L/∂h of all steps."""
    import tensorflow as tf

    recurrence, block = read = _read(op)
    keep, hidden = op.get_attr("keep"), op.outputs[1]
    if keep != native_kernel.ALL:
        d_hidden = None  # `hidden` is no result then
    # A program that differentiates what ran before it may be vectorized, as Jacobians are; TensorFlow has no rule to
    # vectorize this op.
    ran_before = hasattr(recurrence.x, "numpy") and not tf.executing_eagerly()
    if ran_before or not is_allowed(training=True):
        found = _by_block(read, block.backward, d_last, d_hidden)
        return _as_inputs(*found)
    if keep == native_kernel.NOTHING:
        _, hidden = native_kernel.forward(recurrence, read.name, block.reverse, native_kernel.FOR_GRADIENT)
    # The kernel computes dX of a long sequence on the way, without dz of all steps. Elsewhere it is a product of its
    # own, which TensorFlow leaves out of a program where nobody asks for dX.
    long = (recurrence.x.shape[1] or 0) >= LONG
    found = native_kernel.gradient(
        recurrence, read.name, block.reverse, hidden, d_last, d_hidden, inputs=long
    )
    dx = found.dx if long else ops.matmul(found.dz, ops.transpose(recurrence.kernel))
    bias = given(found.bias if recurrence.bias is not None else None)
    return _as_inputs(dx, found.state, found.recurrent_kernel, found.kernel, *bias)


def _as_inputs(dx, d_state, d_recurrent_kernel, d_kernel, d_bias=None):
    """Returns the gradients in the order of the op's inputs; masks have none."""
    return dx, d_state, d_kernel, d_recurrent_kernel, d_bias, None, None


def _by_block(read, backward, d_last, d_hidden):
    """BPTT of the op with TensorFlow's operations, in the order of `Block`."""
    x, state = read.recurrence.x, read.recurrence.state
    mask = read.recurrence.mask
    mask = None if mask is None else ops.expand_dims(mask, -1)
    last, kept = read.block.forward(x, mask, state, *read.weights)
    d_last = ops.zeros_like(last) if d_last is None else d_last
    return backward(x, mask, last, kept, d_last, d_hidden, *read.weights)


def _second(op, d_dz, d_dx, d_state, d_kernel, d_recurrent_kernel, d_bias):
    """Of the gradient's derivatives by its inputs; what the forward pass kept counts as computed from the others."""
    import tensorflow as tf

    read = _read(op)
    d_last, d_hidden = map(_if_given, op.inputs[8:])
    watched = given(*read.recurrence[:5], d_last, d_hidden)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        backward = read.block.backward if op.get_attr("inputs") else read.block.backward_to_z
        results = _by_block(read, backward, d_last, d_hidden)
    upstream = (d_dx if op.get_attr("inputs") else d_dz), d_state, d_recurrent_kernel, d_kernel
    upstream = (*upstream, d_bias)[: len(results)]
    found = iter(tape.gradient(results, watched, upstream, unconnected_gradients="zero"))
    by_input = [
        None if tensor is None else next(found) for tensor in (*read.recurrence[:5], d_last, d_hidden)
    ]
    return *by_input[:5], None, None, None, *by_input[5:]
