"""The recurrence over a whole sequence: hoisted forward pass and hand-written BPTT.

    forward     Z = X·W_x                              one GEMM, before the loop
                h_t = φ(z_t + (h_{t-1}∘r)·W_h + b)     the loop; h_t where mask_t, else h_{t-1}
    backward    dz_t = dh_t ∘ φ'(z_t)                  where mask_t, else 0
                dh_{t-1} = dy_{t-1} + (dz_t·W_hᵀ)∘r    (+ dh_t where the step is masked)
                dW_h = Σ (h_{t-1}∘r)ᵀ·dz_t             one GEMM after the loop; so are dW_x = Xᵀ·dZ and dX = dZ·W_xᵀ

r is the recurrent dropout mask. φ' is a function of h for every activation in `SLOPES`, so that h_{t-1} of all
steps is what the backward pass needs. A long sequence is taken in blocks of steps: only the h that each block starts
from is kept, and the backward pass computes the others again, block by block; a short one is a single block.
The layouts tried, with figures: docs/decisions/recurrence.md.
"""

import functools
import inspect

import keras
from keras import ops

from keras_vrnn.layers.cell import VanillaRNNCell
from keras_vrnn.layers.scan import scan, with_derivatives_of

# From so many steps on, memory counts for more than the second forward pass costs.
LONG = 1024

# φ'(z) as a function of h = φ(z), for elementwise φ.
_SELU_SCALE, _SELU_FLOOR = 1.0507009873554805, 1.7580993408473768  # λ and λ·α: Klambauer et al. 2017
SLOPES = {
    keras.activations.tanh: lambda h: 1 - h * h,
    keras.activations.relu: lambda h: ops.cast(h > 0, h.dtype),
    keras.activations.sigmoid: lambda h: h * (1 - h),
    keras.activations.linear: ops.ones_like,
    keras.activations.elu: lambda h: ops.minimum(h, 0) + 1,
    keras.activations.selu: lambda h: ops.where(h > 0, ops.full_like(h, _SELU_SCALE), h + _SELU_FLOOR),
    keras.activations.leaky_relu: lambda h: ops.where(h > 0, ops.ones_like(h), ops.full_like(h, 0.2)),
    keras.activations.softplus: lambda h: -ops.expm1(-h),
    keras.activations.softsign: lambda h: ops.square(1 - ops.abs(h)),
    keras.activations.exponential: lambda h: h,
    keras.activations.hard_tanh: lambda h: ops.cast(ops.abs(h) < 1, h.dtype),
    keras.activations.hard_sigmoid: lambda h: ops.cast(ops.logical_and(h > 0, h < 1), h.dtype) / 6,
    keras.activations.relu6: lambda h: ops.cast(ops.logical_and(h > 0, h < 6), h.dtype),
}
SLOPES[ops.tanh] = SLOPES[keras.activations.tanh]
SLOPES[ops.relu] = SLOPES[keras.activations.relu]
SLOPES[ops.sigmoid] = SLOPES[keras.activations.sigmoid]


def gradient_rule(cell):
    """How gradients of the recurrence of `cell` are taken; the only place that decides it.

    "hand-written": BPTT as in the module's docstring, from h alone.
    "autodiff": the same forward pass, differentiated by the backend: an activation that is not known to be
        elementwise with a slope in h, or a backend on which a custom gradient cannot be differentiated again
        (PyTorch: the forward pass of `torch.autograd.Function` leaves no graph for second derivatives).
    "cell": `cell.call` step by step, for a subclass that changes the maths of the step.
    """
    if type(cell).call is not VanillaRNNCell.call:
        return "cell"
    if cell.activation in SLOPES and keras.backend.backend() in ("tensorflow", "jax"):
        return "hand-written"
    return "autodiff"


def recur(layer, sequences, state, mask, training):
    """h_t of all steps; arguments and results as in `VanillaRNN.inner_loop`."""
    cell = layer.cell
    sequences = ops.cast(sequences, cell.compute_dtype)
    if mask is not None:
        mask = ops.expand_dims(mask, -1)
    loop = {"reverse": layer.go_backwards, "unroll": layer.unroll}
    rule = gradient_rule(cell)
    if rule == "cell":
        last, hidden = _over_cell(cell, sequences, state, mask, training, loop)
    else:
        recurrent_mask = None
        if training and cell.dropout > 0:
            sequences = sequences * ops.expand_dims(cell.get_dropout_mask(sequences[:, 0]), 1)
        if training and cell.recurrent_dropout > 0:
            recurrent_mask = cell.get_recurrent_dropout_mask(state)
        kernel, recurrent_kernel, *bias = (
            ops.cast(weight, cell.compute_dtype)
            for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
            if weight is not None
        )
        if rule == "hand-written":
            run = _hand_written(cell.activation, mask, recurrent_mask, layer.return_sequences, loop)
            last, outputs = run(sequences, state, recurrent_kernel, kernel, *bias)
            return _results(layer, last, outputs)
        z = ops.matmul(sequences, kernel)
        z = z + bias[0] if bias else z  # one gradient of b instead of one a step
        forward = _forward(cell.activation, recurrent_mask, {**loop, "autodiff": True})
        last, hidden = forward(z, state, recurrent_kernel, mask)
    return _results(layer, last, ops.transpose(hidden, (1, 0, 2)) if layer.return_sequences else None)


def _results(layer, last, outputs):
    if not layer.return_sequences:
        return last, ops.expand_dims(last, 1), [last]
    return last, ops.flip(outputs, axis=1) if layer.go_backwards else outputs, [last]


def _over_cell(cell, sequences, state, mask, training, loop):
    takes_training = "training" in inspect.signature(cell.call).parameters
    kwargs = {"training": training} if takes_training else {}

    def step(h, inputs):
        x, *counts = inputs
        new = ops.cast(cell(x, [h], **kwargs)[0], h.dtype)
        if counts:
            new = ops.where(counts[0], new, h)
        return new, new

    return scan(step, state, batch_major=_given(sequences, mask), autodiff=True, **loop)


def _forward(activation, recurrent_mask, loop, before=False):
    """(z, h_0, W_h, mask, b) → (h_T, all h_t, time-major in time order); h_{t-1} for h_t if `before`."""

    def forward(z, state, recurrent_kernel, mask, *bias):
        def step(h, inputs):
            z_t, *counts = inputs
            kept = h if recurrent_mask is None else h * recurrent_mask
            z_t = z_t + ops.matmul(kept, recurrent_kernel)
            # Inside the loop, where XLA adds it in passing; outside it is one more pass over all steps.
            z_t = z_t + bias[0] if bias else z_t
            # Keras' tanh on JAX and matmul on PyTorch return float32 for float64.
            new = ops.cast(activation(z_t), h.dtype)
            if counts:
                new = ops.where(counts[0], new, h)
            return new, h if before else new

        return scan(step, state, batch_major=_given(z, mask), **loop)

    return forward


def _backward(slope, recurrent_mask, loop):
    """BPTT over a block: (x, mask, h_T, all h_{t-1}, dh_T, dy, W_h, W_x, b) → (dX, dh_0, dW_h, dW_x, db)."""

    def backward(x, mask, last, before, dh, dy, recurrent_kernel, kernel, *bias):
        transposed = ops.transpose(recurrent_kernel)

        def step(carry, inputs):
            dh, h = carry
            h_before, *rest = inputs
            if dy is not None:
                dy_t, *rest = rest
                dh = dh + dy_t
            dz = dh * slope(h)
            if mask is not None:
                dz = ops.where(rest[0], dz, ops.zeros_like(dz))
            dh_before = ops.matmul(dz, transposed)
            if recurrent_mask is not None:
                dh_before = dh_before * recurrent_mask
            if mask is not None:
                dh_before = dh_before + ops.where(rest[0], ops.zeros_like(dh), dh)
            return (dh_before, h_before), dz

        loop_back = {**loop, "reverse": not loop["reverse"]}
        (dh, _), dz = scan(step, (dh, last), (before,), _given(dy, mask), **loop_back)
        kept = before if recurrent_mask is None else before * recurrent_mask
        d_bias = [ops.sum(dz, axis=(0, 1))] if bias else []
        d_recurrent_kernel = _outer(kept, dz)
        dz = ops.transpose(dz, (1, 0, 2))
        return ops.matmul(dz, ops.transpose(kernel)), dh, d_recurrent_kernel, _outer(x, dz), *d_bias

    return backward


def _hand_written(activation, mask, recurrent_mask, sequences_out, loop):
    """(x, h_0, W_h, W_x, b) → (h_T, all h_t batch-major in time order, or None), with BPTT."""
    reverse = loop["reverse"]
    hoisted = _forward(activation, recurrent_mask, loop, before=True)
    backward = _backward(SLOPES[activation], recurrent_mask, loop)

    def forward(x, counts, state, recurrent_kernel, kernel, *bias):
        return hoisted(ops.matmul(x, kernel), state, recurrent_kernel, counts, *bias)

    def all_steps(last, before):
        last = ops.expand_dims(last, 0)
        hidden = ops.concatenate([last, before[:-1]] if reverse else [before[1:], last], axis=0)
        return ops.transpose(hidden, (1, 0, 2))

    def arriving(upstream, state):
        """dL/dh_T by other ways than the outputs, and dL/dy."""
        return (ops.zeros_like(state), upstream) if sequences_out else (upstream, None)

    def single_block(counts):
        @ops.custom_gradient
        def recurrence(x, state, *weights):
            last, before = forward(x, counts, state, *weights)

            def gradient(upstream):
                return backward(x, counts, last, before, *arriving(upstream, state), *weights)

            return (all_steps(last, before) if sequences_out else last), gradient

        return recurrence

    def in_blocks(counts, blocks):
        cut = functools.partial(_cut, blocks=blocks)

        @ops.custom_gradient
        def recurrence(x, state, *weights):
            def block(h, inputs):
                x_k, *counts_k = inputs
                last, before = forward(x_k, *(counts_k or [None]), h, *weights)
                return last, (h, all_steps(last, before)) if sequences_out else (h,)

            shape = (ops.shape(x)[0], x.shape[1] // blocks, state.shape[1])
            like = (state, ops.zeros(shape, state.dtype)) if sequences_out else (state,)
            last, (starts, *outputs) = scan(block, state, (), _given(cut(x), cut(counts)), like=like, **loop)

            def gradient(upstream):
                # XLA cannot differentiate a loop in a loop: second derivatives are those of a single block.
                return with_derivatives_of(single_backward, backward_in_blocks)(upstream, x, state, *weights)

            def single_backward(upstream, x, state, *weights):
                last, before = forward(x, counts, state, *weights)
                return backward(x, counts, last, before, *arriving(upstream, state), *weights)

            def backward_in_blocks(upstream, x, state, *weights):
                dh, dy = arriving(upstream, state)

                def block_back(carry, inputs):
                    dh, *sums = carry
                    start, x_k, *rest = inputs
                    dy_k = rest.pop(0) if sequences_out else None
                    counts_k = rest.pop(0) if rest else None
                    last, before = forward(x_k, counts_k, start, *weights)
                    dx_k, dh, *terms = backward(x_k, counts_k, last, before, dh, dy_k, *weights)
                    return (dh, *(a + b for a, b in zip(sums, terms, strict=True))), dx_k

                init = (dh, *(ops.zeros_like(weight) for weight in weights))
                given = _given(cut(x), cut(dy), cut(counts))
                loop_back = {**loop, "reverse": not reverse, "like": cut(x)[:, 0]}
                (dh, *d_weights), dx = scan(block_back, init, (starts,), given, **loop_back)
                return (_joined(dx), dh, *d_weights)

            return (_joined(outputs[0]) if sequences_out else last), gradient

        return recurrence

    def run(x, state, *weights):
        steps, size = x.shape[1], block_size(x.shape[1])
        if steps is None or size >= steps:
            outputs = single_block(mask)(x, state, *weights)
        else:
            # The rest that fills no block comes first.
            rest, blocks, outputs = steps % size, steps // size, []
            cuts = [slice(0, rest), slice(rest, steps)]
            if reverse:
                cuts = [slice(steps - rest, steps), slice(0, steps - rest)]
            for part, count in zip(cuts, (1, blocks), strict=True):
                if part.start == part.stop:
                    continue
                counts = None if mask is None else mask[:, part]
                over = single_block(counts) if count == 1 else in_blocks(counts, count)
                output = over(x[:, part], state, *weights)
                state = output[:, 0 if reverse else -1] if sequences_out else output
                outputs.append(output)
            if not sequences_out:
                return state, None
            outputs = ops.concatenate(outputs[::-1] if reverse else outputs, axis=1)
        return (outputs[:, 0 if reverse else -1], outputs) if sequences_out else (outputs, None)

    return run


def block_size(steps):
    """Steps in a block: all, or of a long sequence at most 64, chosen to leave no rest if that is possible."""
    if steps is None or steps < LONG:
        return steps
    return max((size for size in range(32, 65) if steps % size == 0), default=64)


def _cut(tensor, blocks):
    """(batch, time, …) → (batch, blocks, steps in a block, …)"""
    if tensor is None:
        return None
    _, steps, *rest = tensor.shape
    return ops.reshape(tensor, (ops.shape(tensor)[0], blocks, steps // blocks, *rest))


def _joined(blocks):
    """(blocks, batch, steps in a block, features) → (batch, time, features)"""
    count, _, steps, features = blocks.shape
    batch = ops.shape(blocks)[1]
    return ops.reshape(ops.transpose(blocks, (1, 0, 2, 3)), (batch, count * steps, features))


def _given(*tensors):
    return tuple(tensor for tensor in tensors if tensor is not None)


def _outer(a, b):
    """Σ aᵀ·b over all leading axes, one GEMM."""
    a, b = (ops.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (a, b))
    return ops.matmul(ops.transpose(a), b)
