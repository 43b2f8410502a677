"""A long sequence, block by block.

The forward pass keeps only the h that each block starts from. The backward pass computes the other h again, so
memory stops growing with the number of steps. A short sequence is a single block.
"""

import functools

import keras
from keras import ops

from keras_vrnn.layers.block import given
from keras_vrnn.layers.scan import scan, with_derivatives_of

# From this number of steps on, the memory saved is worth the second forward pass.
LONG = 1024


def block_size(steps):
    """Steps per block: all of a short sequence, at most 64 of a long one, chosen to divide it if possible."""
    if steps is None or steps < LONG:
        return steps
    return max((size for size in range(32, 65) if steps % size == 0), default=64)


def over_time(block, x, mask, state, *weights):
    """Runs a `Block` over a whole sequence.

    Returns:
        h_T, and h of all steps, batch-major in time order, or None without `return_sequences`.
    """
    steps, size = x.shape[1], block_size(x.shape[1])
    if steps is None or size >= steps:
        return last_and_all(block, block(x, mask, state, *weights))
    # Steps that fill no block come first.
    rest, outputs = steps % size, []
    parts = [slice(0, rest), slice(rest, steps)]
    if block.reverse:
        parts = [slice(steps - rest, steps), slice(0, steps - rest)]
    for part, count in zip(parts, (1, steps // size), strict=True):
        if part.start == part.stop:
            continue
        run = block if count == 1 else functools.partial(_over_blocks, block, count)
        output = run(x[:, part], None if mask is None else mask[:, part], state, *weights)
        state, _ = last_and_all(block, output)
        outputs.append(output)
    if not block.return_sequences:
        return state, None
    return state, ops.concatenate(outputs[::-1] if block.reverse else outputs, axis=1)


def last_and_all(block, output):
    """h_T, and h of all steps or None, of what a `Block` returns."""
    return (output[:, 0 if block.reverse else -1], output) if block.return_sequences else (output, None)


def _over_blocks(block, count, *arguments):
    run = _recomputed if keras.backend.backend() == "jax" else _with_gradient
    return run(block, count, *arguments)


def _recomputed(block, count, x, mask, state, *weights):
    """Leaves it to the backend to compute a block again in the backward pass, and to add up gradients."""

    @keras.remat
    def one(h, inputs):
        x_k, *mask_k = inputs
        last, outputs = last_and_all(block, block(x_k, *(mask_k or [None]), h, *weights))
        return last, given(outputs)

    cuts = given(_cut(x, count), _cut(mask, count))
    last, outputs = scan(one, state, (), cuts, **block.loop)
    return _joined(*outputs) if block.return_sequences else last


def _with_gradient(block, count, x, mask, state, *weights):
    """The same with the backward pass written out: TensorFlow's `recompute_grad` does not compile under XLA."""
    cut = functools.partial(_cut, count=count)

    @ops.custom_gradient
    def recurrence(x, state, *weights):
        def one(h, inputs):
            x_k, *mask_k = inputs
            last, kept = block.forward(x_k, *(mask_k or [None]), h, *weights)
            return last, (h, block.output(last, kept)) if block.return_sequences else (h,)

        shape = (ops.shape(x)[0], x.shape[1] // count, state.shape[1])
        like = (state, ops.zeros(shape, state.dtype)) if block.return_sequences else (state,)
        last, (starts, *outputs) = scan(one, state, (), given(cut(x), cut(mask)), like=like, **block.loop)

        def gradient(upstream):
            # XLA cannot differentiate a loop in a loop: second derivatives are taken of a single block.
            return with_derivatives_of(single_backward, backward_in_blocks)(upstream, x, state, *weights)

        def single_backward(upstream, x, state, *weights):
            last, kept = block.forward(x, mask, state, *weights)
            return block.backward(x, mask, last, kept, *block.arriving(upstream), *weights)

        def backward_in_blocks(upstream, x, state, *weights):
            dh, dy = block.arriving(upstream)

            def one_back(carry, inputs):
                dh, *sums = carry
                start, x_k, *rest = inputs
                dy_k = rest.pop(0) if block.return_sequences else None
                mask_k = rest.pop(0) if rest else None
                last, kept = block.forward(x_k, mask_k, start, *weights)
                dx_k, dh, *terms = block.backward(x_k, mask_k, last, kept, dh, dy_k, *weights)
                return (dh, *(a + b for a, b in zip(sums, terms, strict=True))), dx_k

            init = (dh, *(ops.zeros_like(weight) for weight in weights))
            cuts = given(cut(x), cut(dy), cut(mask))
            loop_back = {**block.loop, "reverse": not block.reverse, "like": cut(x)[:, 0]}
            (dh, *d_weights), dx = scan(one_back, init, (starts,), cuts, **loop_back)
            return (_joined(dx), dh, *d_weights)

        return (_joined(outputs[0]) if block.return_sequences else last), gradient

    return recurrence(x, state, *weights)


def _cut(tensor, count):
    """(batch, time, …) → (batch, blocks, steps per block, …)"""
    if tensor is None:
        return None
    _, steps, *rest = tensor.shape
    return ops.reshape(tensor, (ops.shape(tensor)[0], count, steps // count, *rest))


def _joined(blocks):
    """(blocks, batch, steps per block, features) → (batch, time, features)"""
    count, _, steps, features = blocks.shape
    batch = ops.shape(blocks)[1]
    return ops.reshape(ops.transpose(blocks, (1, 0, 2, 3)), (batch, count * steps, features))
