"""A recurrence on the native kernel: whether it serves, and its derivatives.

The kernel computes what `Block` computes, to float32 rounding. It serves on TensorFlow, on a CPU, in eager calls and in
programs that stay in this process: TensorFlow could not load a SavedModel, or convert a program, with an op that only
this package has. Layers therefore use it in a program only in training or inside `in_process`, and otherwise as before.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_vrnn import native
from keras_vrnn._keras_private import in_xla
from keras_vrnn.layers.blocks import LONG, last_and_all
from keras_vrnn.layers.mixtures import Replacement
from keras_vrnn.layers.scan import with_derivatives_of

# φ -> its name in the kernel.
_NAMES = {
    keras.activations.tanh: "tanh",
    keras.activations.relu: "relu",
    keras.activations.sigmoid: "sigmoid",
    keras.activations.linear: "linear",
    ops.tanh: "tanh",
    ops.relu: "relu",
    ops.sigmoid: "sigmoid",
}

_stays_in_process: contextvars.ContextVar[bool] = contextvars.ContextVar("stays_in_process", default=False)


@contextlib.contextmanager
def in_process() -> Iterator[None]:
    """Says that programs traced inside run in this process and are never saved or converted."""
    token = _stays_in_process.set(True)
    try:
        yield
    finally:
        _stays_in_process.reset(token)


def refusal(activation: Any, mixture: Any, dtype: str) -> str:
    """Why the native kernel does not serve a recurrence, whatever the call, or "" if it does."""
    if keras.backend.backend() != "tensorflow":
        return f"Keras runs on {keras.backend.backend()}"
    if mixture is not Replacement:
        return "the native kernel has the vanilla RNN alone"
    if activation not in _NAMES:
        name = getattr(activation, "__name__", activation)
        return f"the native kernel has {', '.join(sorted(set(_NAMES.values())))}, not {name}"
    if dtype != "float32":
        return f"the native kernel has float32, not {dtype}"
    reason = native.unavailable()
    if reason:
        return reason
    import tensorflow as tf

    return "TensorFlow sees a GPU" if tf.config.get_visible_devices("GPU") else ""


def serves(block: Any, x: Any, training: bool) -> bool:
    """Whether this call of a recurrence runs on the native kernel."""
    if refusal(block.activation, block.mixture, keras.backend.standardize_dtype(x.dtype)):
        return False
    return _is_allowed(training)


def _is_allowed(training):
    import tensorflow as tf

    if tf.executing_eagerly():
        return True
    # The workers of a strategy may be processes that have not loaded the library.
    if tf.distribute.has_strategy() or in_xla():
        return False
    return bool(training) or _stays_in_process.get()


def over_time(block: Any, x: Any, mask: Any, state: Any, *weights: Any, training: bool) -> tuple[Any, Any]:
    """As `blocks.over_time`, on the native kernel: h_T, and h of all steps in time order or None."""
    import tensorflow as tf

    from keras_vrnn.native import kernel as native_kernel

    how = {"activation": _NAMES[block.activation], "reverse": block.reverse}
    began_eagerly = tf.executing_eagerly()
    # The kernel computes dX of a long sequence on the way, without dz of all steps; TensorFlow skips a product of its
    # own where nobody asks for dX.
    long = (x.shape[1] or 0) >= LONG

    def arguments(x, state, recurrent_kernel, kernel, bias=None):
        steps_mask = None if mask is None else mask[..., 0]
        return native_kernel.Recurrence(
            x, state, kernel, recurrent_kernel, bias, steps_mask, block.recurrent_mask
        )

    def quick(kept, upstream, x, state, *weights):
        dh, dy = (None, upstream) if block.return_sequences else (upstream, None)
        given = arguments(x, state, *weights)
        if kept is None:
            _, kept = native_kernel.forward(given, keep=native_kernel.FOR_GRADIENT, **how)
        found = native_kernel.gradient(given, hidden=kept, d_last=dh, d_hidden=dy, inputs=long, **how)
        dx = found.dx if long else ops.matmul(found.dz, ops.transpose(given.kernel))
        return dx, found.state, found.recurrent_kernel, found.kernel, *[found.bias] * (given.bias is not None)

    def plain(upstream, x, state, *weights):
        last, kept = block.forward(x, mask, state, *weights)
        return block.backward(x, mask, last, kept, *block.arriving(upstream), *weights)

    @tf.custom_gradient
    def recurrence(x, state, *weights):
        keep = native_kernel.FOR_GRADIENT if training else native_kernel.NOTHING
        keep = native_kernel.ALL if block.return_sequences else keep
        last, kept = native_kernel.forward(arguments(x, state, *weights), keep=keep, **how)

        def gradient(upstream):
            if not _is_allowed(training=True) or began_eagerly != tf.executing_eagerly():
                return plain(upstream, x, state, *weights)
            backward = functools.partial(quick, None if keep == native_kernel.NOTHING else kept)
            return with_derivatives_of(plain, backward)(upstream, x, state, *weights)

        return (kept if block.return_sequences else last), gradient

    return last_and_all(block, recurrence(x, state, *weights))
