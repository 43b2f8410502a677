"""A recurrence on the native kernel, and whether it serves.

The kernel computes what `Block` computes, to float32 rounding. It serves on a CPU, in eager calls and in programs that
stay in this process. TensorFlow could not load a SavedModel, or convert a program, with an op that only this package
has: there, layers use it in a program only in training or inside `in_process`, and otherwise as before. JAX tells, when
it compiles, whether it exports a program, for which `native_jax` has JAX's own operations.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_vrnn import native
from keras_vrnn._keras_private import in_xla
from keras_vrnn.layers.mixtures import Replacement

# φ -> its name in the kernel.
NAMES = {
    keras.activations.tanh: "tanh",
    keras.activations.relu: "relu",
    keras.activations.sigmoid: "sigmoid",
    keras.activations.linear: "linear",
    ops.tanh: "tanh",
    ops.relu: "relu",
    ops.sigmoid: "sigmoid",
}

# What is known of the program that is being traced: nothing, or one of these.
_IN_PROCESS, _FOR_XLA = "in process", "for XLA"
_known: contextvars.ContextVar[str] = contextvars.ContextVar("known", default="")


@contextlib.contextmanager
def in_process() -> Iterator[None]:
    """Says that programs traced inside run in this process and are never saved or converted."""
    token = _known.set(_known.get() or _IN_PROCESS)
    try:
        yield
    finally:
        _known.reset(token)


@contextlib.contextmanager
def for_xla(compiles: bool = True) -> Iterator[None]:
    """Says that XLA is to compile what is traced inside, if it `compiles`, where TensorFlow cannot know it yet."""
    token = _known.set(_FOR_XLA if compiles else _known.get())
    try:
        yield
    finally:
        _known.reset(token)


def refusal(activation: Any, mixture: Any, dtype: str) -> str:
    """Why the native kernel does not serve a recurrence, whatever the call, or "" if it does."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        return f"Keras runs on {keras.backend.backend()}"
    if mixture is not Replacement:
        return "the native kernel has the vanilla RNN alone"
    if activation not in NAMES:
        name = getattr(activation, "__name__", activation)
        return f"the native kernel has {', '.join(sorted(set(NAMES.values())))}, not {name}"
    if dtype != "float32":
        return f"the native kernel has float32, not {dtype}"
    by_backend = _refusal_of_jax if keras.backend.backend() == "jax" else _refusal_of_tensorflow
    return native.unavailable() or by_backend()


def _refusal_of_tensorflow():
    import tensorflow as tf

    return "TensorFlow sees a GPU" if tf.config.get_visible_devices("GPU") else ""


def _refusal_of_jax():
    import jax

    try:
        from keras_vrnn.layers import native_jax  # noqa: F401
    except (ImportError, AttributeError) as error:
        return f"this version of JAX lacks what the native kernel needs: {error}"
    # Where an array lies is not known before a program runs, and JAX cannot split a call of the kernel.
    first, *others = jax.devices()
    if others or first.platform != "cpu":
        return f"JAX has {1 + len(others)} devices ({first.platform}), not one CPU"
    return ""


def serves(block: Any, x: Any, training: bool) -> bool:
    """Whether this call of a recurrence runs on the native kernel."""
    if refusal(block.activation, block.mixture, keras.backend.standardize_dtype(x.dtype)):
        return False
    return not _in_mesh() if keras.backend.backend() == "jax" else is_allowed(training)


def _in_mesh():
    """Whether JAX traces for a mesh of devices, over which it tracks what varies."""
    import jax

    # Versions without this name do not track it.
    mesh = getattr(jax.sharding, "get_abstract_mesh", lambda: None)()
    return mesh is not None and not mesh.empty


def is_allowed(training: bool) -> bool:
    """Whether an op of the native kernel may be in what TensorFlow runs or traces now."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return True
    # The workers of a strategy may be processes that have not loaded the library.
    if tf.distribute.has_strategy() or _known.get() == _FOR_XLA or in_xla():
        return False
    return bool(training) or _known.get() == _IN_PROCESS


def over_time(block: Any, x: Any, mask: Any, state: Any, *weights: Any, training: bool) -> tuple[Any, Any]:
    """As `blocks.over_time`, on the native kernel: h_T, and h of all steps in time order or None."""
    steps_mask = None if mask is None else ops.cast(mask[..., 0], "bool")
    if keras.backend.backend() == "jax":
        from keras_vrnn.layers import native_jax
        from keras_vrnn.native import jax_kernel

        settings = jax_kernel.settings(NAMES[block.activation], block.reverse)
        return native_jax.over_time(block, x, steps_mask, state, *weights, **settings)
    from keras_vrnn.layers.native_gradients import register
    from keras_vrnn.native import kernel as native_kernel

    register()
    recurrent_kernel, kernel, *bias = weights
    given = native_kernel.Recurrence(
        x, state, kernel, recurrent_kernel, bias[0] if bias else None, steps_mask, block.recurrent_mask
    )
    # In inference a gradient, if one is asked for, computes h of all steps again.
    keep = native_kernel.FOR_GRADIENT if training else native_kernel.NOTHING
    keep = native_kernel.ALL if block.return_sequences else keep
    last, hidden = native_kernel.forward(given, NAMES[block.activation], block.reverse, keep)
    return last, hidden if block.return_sequences else None
