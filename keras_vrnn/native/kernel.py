"""The ops of the library as functions of tensors. What they compute: recurrence.h.

All tensors are float32, and masks are bool. None stands for what is not given.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_vrnn.native import library

ACTIVATIONS = {"tanh": 0, "relu": 1, "sigmoid": 2, "linear": 3}
# What the forward pass returns of all steps: nothing; what `gradient` needs; h of all steps.
NOTHING, FOR_GRADIENT, ALL = 0, 1, 2


class Recurrence(NamedTuple):
    """Everything that the steps of a recurrence depend on; shapes as in `VanillaRNN.inner_loop`."""

    x: Any
    state: Any
    kernel: Any
    recurrent_kernel: Any
    bias: Any = None
    mask: Any = None
    recurrent_mask: Any = None


class Gradients(NamedTuple):
    """∂L/∂ of each argument; dz, (batch, time, units), or dx, (batch, time, features), is empty."""

    dz: Any
    dx: Any
    state: Any
    kernel: Any
    recurrent_kernel: Any
    bias: Any


def forward(recurrence: Recurrence, activation: str, reverse: bool, keep: int) -> tuple[Any, Any]:
    """h_T, (batch, units), and what is kept of all steps, (batch, steps, units); `ALL` of it is in time order."""
    last, hidden = library.operations().keras_vrnn_recurrence(
        *_inputs(recurrence), keep=keep, **_attributes(activation, reverse)
    )
    if keep == ALL:
        hidden.set_shape((*recurrence.x.shape[:2], recurrence.recurrent_kernel.shape[1]))
    return last, hidden


def gradient(
    recurrence: Recurrence,
    activation: str,
    reverse: bool,
    hidden: Any,
    d_last: Any = None,
    d_hidden: Any = None,
    inputs: bool = True,
) -> Gradients:
    """BPTT.

    Args:
        recurrence, activation, reverse: As in `forward`.
        hidden: What `forward` kept, with `FOR_GRADIENT` or `ALL`.
        d_last: ∂L/∂h_T on top of `d_hidden`, (batch, units).
        d_hidden: ∂L/∂h of all steps in time order, (batch, time, units).
        inputs: Whether to compute dx, or to return dz, from which dx is one product.
    """
    found = Gradients(
        *library.operations().keras_vrnn_recurrence_gradient(
            *_inputs(recurrence),
            hidden=hidden,
            d_last=_or_empty(d_last, 2),
            d_hidden=_or_empty(d_hidden, 3),
            inputs=inputs,
            **_attributes(activation, reverse),
        )
    )
    if inputs:
        found.dx.set_shape(recurrence.x.shape)
    else:
        found.dz.set_shape((*recurrence.x.shape[:2], recurrence.recurrent_kernel.shape[1]))
    return found


def _inputs(recurrence):
    *given, bias, mask, recurrent_mask = recurrence
    return *given, _or_empty(bias, 1), _or_empty(mask, 2, "bool"), _or_empty(recurrent_mask, 2)


def _attributes(activation, reverse):
    return {
        "activation": ACTIVATIONS[activation],
        "reverse": reverse,
        "threads": library.threads(),
        "instructions": library.instructions(),
    }


def _or_empty(tensor, rank, dtype="float32"):
    import tensorflow as tf

    return tf.zeros((0,) * rank, dtype) if tensor is None else tensor
