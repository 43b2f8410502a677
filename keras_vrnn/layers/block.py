"""One block of time steps: its forward pass and its derivatives, written by hand.

    forward     Z = X·W_x                              one GEMM, before the loop
                h_t = φ(z_t + (h_{t-1}∘r)·W_h + b)     the loop; h_t where mask_t, else h_{t-1}
    backward    dz_t = dh_t ∘ φ'(z_t)                  where mask_t, else 0
                dh_{t-1} = dy_{t-1} + (dz_t·W_hᵀ)∘r    (+ dh_t where the step is masked)
                dW_h = Σ (h_{t-1}∘r)ᵀ·dz_t             one GEMM after the loop; likewise dW_x = Xᵀ·dZ and dX = dZ·W_xᵀ
    tangents    ż_t = ẋ_t·W_x + x_t·Ẇ_x + (h_{t-1}∘r)·Ẇ_h + ḃ       GEMMs before the loop
                ḣ_t = φ'(z_t) ∘ (ż_t + (ḣ_{t-1}∘r)·W_h)              where mask_t, else ḣ_{t-1}

This is the vanilla RNN. Other recurrences mix φ(z_t) with h_{t-1}: see `mixtures`.

r is the recurrent dropout mask. For every activation in `SLOPES`, φ' is a function of φ(z_t), so h is all that the
derivatives need. TensorFlow uses the backward pass. JAX uses the tangents: it transposes them into the same backward
pass, at the same cost, and they also give forward mode. The alternatives and their measurements:
docs/decisions/recurrence.md.
"""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_vrnn.layers.mixtures import Replacement
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


def forward_loop(activation, recurrent_mask, loop, mixture, kept=None):
    """The loop of the forward pass, from the input product on.

    Args:
        activation: φ.
        recurrent_mask: r, shape (batch, units), or None.
        loop: Arguments of `scan`: `reverse` and `unroll`, and `autodiff` where the backend differentiates the loop.
        mixture: (φ(z_t), h_{t-1}) → h_t.
        kept: (h_{t-1}, φ(z_t)) → what to return of all steps; by default h_t.

    Returns:
        A function (z, h_0, W_h, mask, *b) → (h_T, what is kept of all steps, time-major in time order).
    """

    def run(z, state, recurrent_kernel, mask, *bias):
        def step(h, inputs):
            z_t, *mask_t = inputs
            dropped = h if recurrent_mask is None else h * recurrent_mask
            z_t = z_t + ops.matmul(dropped, recurrent_kernel)
            # Inside the loop XLA fuses the addition with φ; outside, it is one more pass over all steps.
            z_t = z_t + bias[0] if bias else z_t
            # Keras' tanh on JAX and matmul on PyTorch return float32 for float64.
            candidate = ops.cast(activation(z_t), h.dtype)
            new = mixture(candidate, h)
            if mask_t:
                new = ops.where(mask_t[0], new, h)
            return new, kept(h, candidate) if kept else new

        like = kept(state, state) if kept else state
        return scan(step, state, batch_major=given(z, mask), like=like, **loop)

    return run


@dataclasses.dataclass(frozen=True)
class Block:
    """The recurrence over some steps: (x, mask, h_0, W_h, W_x, *rates, *b) → h_T, or h of all steps.

    Args:
        activation: φ, one of `SLOPES`.
        recurrent_mask: r, shape (batch, units), or None.
        return_sequences: Whether the result is h of all steps, batch-major in time order, or h_T.
        reverse: Whether to go from the last step to the first.
        unroll: Whether to write the steps out.
        mixture: Class from `mixtures`, made of the rates.
    """

    activation: Any
    recurrent_mask: Any
    return_sequences: bool
    reverse: bool
    unroll: bool
    mixture: Any = dataclasses.field(default=Replacement, kw_only=True)

    @property
    def loop(self):
        return {"reverse": self.reverse, "unroll": self.unroll}

    def _mixture(self, weights):
        """(mixture, *b) of the weights behind W_h and W_x."""
        count = len(dataclasses.fields(self.mixture))
        return self.mixture(*weights[:count]), *weights[count:]

    def __call__(self, x, mask, state, *weights):
        if keras.backend.backend() == "jax":
            import jax

            # JAX must see the masks as arguments: a rule of derivatives may not close over traced values.
            differentiable = jax.custom_jvp(self._of_arguments)
            differentiable.defjvp(self._with_tangents)
            return differentiable(x, mask, self.recurrent_mask, state, *weights)

        @ops.custom_gradient
        def recurrence(x, state, *weights):
            last, kept = self.forward(x, mask, state, *weights)

            def gradient(upstream):
                return self.backward(x, mask, last, kept, *self.arriving(upstream), *weights)

            return self.output(last, kept), gradient

        return recurrence(x, state, *weights)

    def forward(self, x, mask, state, recurrent_kernel, kernel, *rest):
        """h_T, and what the mixture keeps of all steps, time-major: the layout of which W_h's gradient is one GEMM."""
        mixture, *bias = self._mixture(rest)
        run = forward_loop(self.activation, self.recurrent_mask, self.loop, mixture, mixture.kept)
        return run(ops.matmul(x, kernel), state, recurrent_kernel, mask, *bias)

    def output(self, last, kept):
        return ops.transpose(self._hidden(last, kept), (1, 0, 2)) if self.return_sequences else last

    def _hidden(self, last, kept):
        """h_t of all steps, time-major."""
        last, before = ops.expand_dims(last, 0), keras.tree.flatten(kept)[0]
        return ops.concatenate([last, before[:-1]] if self.reverse else [before[1:], last], axis=0)

    def arriving(self, upstream):
        """The gradient of the output as (dh_T on top of dy, dy)."""
        if not self.return_sequences:
            return upstream, None
        return ops.zeros_like(upstream[:, 0]), upstream

    def backward(self, x, mask, last, kept, dh, dy, recurrent_kernel, kernel, *rest):
        """BPTT: dX, dh_0, dW_h, dW_x, the gradients of the rates, and db, as the arguments of `forward` are ordered."""
        dz, *others = self.backward_to_z(x, mask, last, kept, dh, dy, recurrent_kernel, kernel, *rest)
        return ops.matmul(dz, ops.transpose(kernel)), *others

    def backward_to_z(self, x, mask, last, kept, dh, dy, recurrent_kernel, kernel, *rest):
        """The same with dZ, (batch, time, units), instead of dX = dZ·W_xᵀ."""
        mixture, *bias = self._mixture(rest)
        transposed = ops.transpose(recurrent_kernel)
        slope = SLOPES[self.activation]

        def step(carry, inputs):
            dh, h, *d_rates = carry
            h_before, candidate, others = mixture.seen(h, inputs)
            if dy is not None:
                dy_t, *others = others
                dh = dh + dy_t
            mask_t = others[0] if others else None

            def where_counted(gradient):
                return gradient if mask_t is None else ops.where(mask_t, gradient, ops.zeros_like(gradient))

            dz = where_counted(mixture.to_candidate(dh) * slope(candidate))
            dh_before = ops.matmul(dz, transposed)
            if self.recurrent_mask is not None:
                dh_before = dh_before * self.recurrent_mask
            beside = mixture.to_state(dh, mask_t)
            if beside is not None:
                dh_before = dh_before + beside
            terms = mixture.to_rates(dh, h_before, candidate)
            d_rates = (d + where_counted(term) for d, term in zip(d_rates, terms, strict=True))
            return (dh_before, h_before, *d_rates), dz

        arrays = keras.tree.flatten(kept)
        sums = (ops.zeros_like(dh) for _ in dataclasses.fields(mixture))
        loop_back = {**self.loop, "reverse": not self.reverse}
        (dh, _, *d_rates), dz = scan(step, (dh, last, *sums), arrays, given(dy, mask), **loop_back)
        before = arrays[0] if self.recurrent_mask is None else arrays[0] * self.recurrent_mask
        d_bias = [ops.sum(dz, axis=(0, 1))] if bias else []
        d_recurrent_kernel = _outer(before, dz)
        dz = ops.transpose(dz, (1, 0, 2))
        d_weights = d_recurrent_kernel, _outer(x, dz), *map(ops.sum, d_rates), *d_bias
        return dz, dh, *d_weights

    def tangents(self, primals, tangents):
        """What `forward` returns, and how h_T and h_t of all steps change as the arguments do."""
        x, mask, state, recurrent_kernel, kernel, *rest = primals
        dx, d_state, d_recurrent_kernel, d_kernel, *d_rest = tangents
        last, kept = self.forward(x, mask, state, recurrent_kernel, kernel, *rest)
        mixture, *bias = self._mixture(rest)
        d_rates, d_bias = d_rest[: len(rest) - len(bias)], d_rest[len(rest) - len(bias) :]
        slopes = SLOPES[self.activation](mixture.candidates(self._hidden(last, kept), kept))
        before = keras.tree.flatten(kept)[0]
        before = before if self.recurrent_mask is None else before * self.recurrent_mask
        dz = ops.transpose(_product(dx, kernel) + _product(x, d_kernel), (1, 0, 2))
        dz = dz + _product(before, d_recurrent_kernel)
        dz = dz + d_bias[0] if d_bias else dz
        by_rates = mixture.from_rates(d_rates, kept)

        def step(dh, inputs):
            dz_t, slope_t, *others = inputs
            dropped = dh if self.recurrent_mask is None else dh * self.recurrent_mask
            new = mixture(slope_t * (dz_t + ops.matmul(dropped, recurrent_kernel)), dh)
            if by_rates:
                by_rates_t, *others = others
                new = new + by_rates_t
            if others:
                new = ops.where(others[0], new, dh)
            return new, new

        return last, kept, *scan(step, d_state, (dz, slopes, *by_rates), given(mask), **self.loop)

    # What `jax.custom_jvp` takes: the recurrence and its tangents as functions of all arrays.

    def _of_arguments(self, x, mask, recurrent_mask, state, *weights):
        block = dataclasses.replace(self, recurrent_mask=recurrent_mask)
        return block.output(*block.forward(x, mask, state, *weights))

    def _with_tangents(self, primals, tangents):
        x, mask, recurrent_mask, *rest = primals
        dx, _, _, *d_rest = tangents  # nothing is differentiated by way of a mask
        block = dataclasses.replace(self, recurrent_mask=recurrent_mask)
        last, kept, d_last, d_hidden = block.tangents((x, mask, *rest), (dx, *d_rest))
        d_output = ops.transpose(d_hidden, (1, 0, 2)) if self.return_sequences else d_last
        return block.output(last, kept), d_output


def given(*tensors):
    """The tensors that are not None."""
    return tuple(tensor for tensor in tensors if tensor is not None)


def _product(a, matrix):
    """a·matrix as one GEMM, in which form its transpose is one too: XLA is slower with a product of three axes."""
    rows = ops.matmul(ops.reshape(a, (-1, a.shape[-1])), matrix)
    return ops.reshape(rows, (*a.shape[:-1], matrix.shape[-1]))


def _outer(a, b):
    """Σ aᵀ·b over all leading axes, one GEMM."""
    a, b = (ops.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (a, b))
    return ops.matmul(ops.transpose(a), b)
