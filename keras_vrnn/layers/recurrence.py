"""The recurrence over a whole sequence: hoisted forward pass and hand-written BPTT.

    forward     Z = X·W_x                              one GEMM over all steps, before the loop
                h_t = φ(z_t + (h_{t-1}∘r)·W_h + b)     the loop; h_t where mask_t, else h_{t-1}
    backward    dz_t = dh_t ∘ φ'(z_t)                  where mask_t, else 0
                dh_{t-1} = dy_{t-1} + (dz_t·W_hᵀ)∘r    (+ dh_t where the step is masked)
                dW_h = Σ (h_{t-1}∘r)ᵀ·dz_t             one GEMM after the loop; so are dW_x and dX, by autodiff

r is the recurrent dropout mask. Only h is kept for the backward pass: φ' is a function of h for every
activation in `SLOPES`. The layouts tried, with figures: docs/decisions/recurrence.md.
"""

import inspect

import keras
from keras import ops

from keras_vrnn.layers.cell import VanillaRNNCell
from keras_vrnn.layers.scan import scan

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
        z = ops.matmul(sequences, kernel)
        if rule == "hand-written":
            run = _hand_written(cell.activation, mask, recurrent_mask, layer.return_sequences, loop)
            last, hidden = run(z, state, recurrent_kernel, *bias)
        else:
            z = z + bias[0] if bias else z  # one gradient of b instead of one a step
            forward = _forward(cell.activation, mask, recurrent_mask, {**loop, "autodiff": True})
            last, hidden = forward(z, state, recurrent_kernel)
    if not layer.return_sequences:
        return last, ops.expand_dims(last, 1), [last]
    if layer.go_backwards:
        hidden = ops.flip(hidden, axis=0)
    return last, ops.transpose(hidden, (1, 0, 2)), [last]


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


def _forward(activation, mask, recurrent_mask, loop):
    """(z, h_0, W_h, b) → (h_T, all h_t, time-major in time order)."""

    def forward(z, state, recurrent_kernel, *bias):
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
            return new, new

        return scan(step, state, batch_major=_given(z, mask), **loop)

    return forward


def _hand_written(activation, mask, recurrent_mask, sequences_out, loop):
    """`_forward` with BPTT; all h_t are handed out only if `sequences_out`."""
    slope = SLOPES[activation]
    forward = _forward(activation, mask, recurrent_mask, loop)
    first, final = (-1, 0) if loop["reverse"] else (0, -1)
    backward_loop = {**loop, "reverse": not loop["reverse"]}

    @ops.custom_gradient
    def recurrence(z, state, recurrent_kernel, *bias):
        last, hidden = forward(z, state, recurrent_kernel, *bias)

        def gradient(upstream):
            transposed = ops.transpose(recurrent_kernel)

            def step(dh, inputs):
                h, *counts = inputs
                if sequences_out:
                    dy, *counts = counts
                    dh = dh + dy
                dz = dh * slope(h)
                if counts:
                    dz = ops.where(counts[0], dz, ops.zeros_like(dz))
                before = ops.matmul(dz, transposed)
                if recurrent_mask is not None:
                    before = before * recurrent_mask
                if counts:
                    before = before + ops.where(counts[0], ops.zeros_like(dh), dh)
                return before, dz

            time_major = (hidden, upstream) if sequences_out else (hidden,)
            start = ops.zeros_like(state) if sequences_out else upstream
            d_state, dz = scan(step, start, time_major=time_major, batch_major=_given(mask), **backward_loop)
            inner_h, inner_dz = (hidden[1:], dz[:-1]) if loop["reverse"] else (hidden[:-1], dz[1:])
            first_h = state
            if recurrent_mask is not None:
                first_h, inner_h = first_h * recurrent_mask, inner_h * recurrent_mask
            # Two products instead of one over concat([h_0, h]): no copy of all h.
            d_kernel = _outer(first_h, dz[first]) + _outer(inner_h, inner_dz)
            d_bias = [ops.sum(dz, axis=(0, 1))] if bias else []
            return (ops.transpose(dz, (1, 0, 2)), d_state, d_kernel, *d_bias)

        return (hidden if sequences_out else last), gradient

    def run(*arguments):
        result = recurrence(*arguments)
        return (result[final], result) if sequences_out else (result, None)

    return run


def _given(*tensors):
    return tuple(tensor for tensor in tensors if tensor is not None)


def _outer(a, b):
    """Σ aᵀ·b over all leading axes, one GEMM."""
    units = a.shape[-1]
    return ops.matmul(ops.transpose(ops.reshape(a, (-1, units))), ops.reshape(b, (-1, units)))
