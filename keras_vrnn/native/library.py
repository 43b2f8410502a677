"""Whether the C++ library is there, and the switch that turns it off."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

from keras_vrnn import _checks as checks
from keras_vrnn.native import sources

VARIABLE = "KERAS_VRNN_NATIVE"
# The names of its functions for JAX.
FORWARD, GRADIENT = "keras_vrnn_recurrence", "keras_vrnn_recurrence_gradient"
# Values of the variable -> which version of the code runs; 0 is the best that the processor has.
_INSTRUCTIONS = {"": 0, "1": 0, "avx512": 1, "avx2": 2, "portable": 3}
_OFF = "0"


class _Switch:
    on: bool | None = None  # None until `set_enabled`: the environment decides


def set_enabled(on: bool) -> None:
    """Turns the native kernel on or off from now on; programs that TensorFlow has traced keep what they have.

    The environment variable KERAS_VRNN_NATIVE=0 turns it off from the start.
    """
    _Switch.on = checks.flag("on", on)


def enabled() -> bool:
    """Whether the native kernel may be used where it is built."""
    return _Switch.on if _Switch.on is not None else _setting() != _OFF


def unavailable() -> str:
    """Why the native kernel cannot be used in this process, or "" if it can."""
    if not enabled():
        by = f"{VARIABLE}=0" if _Switch.on is None else "`native.set_enabled(False)`"
        return f"switched off by {by}"
    return _load()[1]


def operations() -> Any:
    """The ops of the library for TensorFlow; only where `unavailable()` is ""."""
    return _load()[0]


def instructions() -> int:
    """The value of the ops' attribute `instructions`."""
    return _INSTRUCTIONS.get(_setting(), 0)


def instructions_name(index: int = 0) -> str:
    """What a value of that attribute stands for on this machine, such as "AVX-512", or "" where there is none."""
    library = ctypes.CDLL(os.fspath(sources.library()))
    library.keras_vrnn_instructions.restype = ctypes.c_char_p
    return library.keras_vrnn_instructions(index).decode()


def threads() -> int:
    """How many threads a recurrence may use: as many as the other operations of Keras' backend."""
    chosen = 0 if _on_jax() else _threads_of_tensorflow()
    if chosen > 0:
        return chosen
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads_of_tensorflow():
    import tensorflow as tf

    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    return chosen or (int(variable) if variable.isdecimal() else 0)


def _on_jax():
    import keras

    return keras.backend.backend() == "jax"


def _setting() -> str:
    value = os.environ.get(VARIABLE, "")
    if value not in (_OFF, *_INSTRUCTIONS):
        fix = "0 turns the native kernel off."
        raise checks.refused(VARIABLE, f"be one of {[_OFF, *filter(None, _INSTRUCTIONS)]}", value, fix)
    return value


@functools.cache
def _load() -> tuple[Any, str]:
    """(ops, "") or (None, reason)."""
    file = sources.library()
    if not file.is_file():
        return None, "not built: run `make native`, or install the package where a C++ compiler is found"
    return (None, _registered_with_jax(file)) if _on_jax() else _loaded_by_tensorflow(file)


def _loaded_by_tensorflow(file):
    import tensorflow as tf

    try:
        operations = tf.load_op_library(os.fspath(file))
    except (tf.errors.OpError, OSError) as error:
        return None, f"{file.name} cannot be loaded: {error}"
    if not hasattr(operations, "keras_vrnn_recurrence_gradient"):
        return None, f"{file.name} did not find TensorFlow's C API in this process"
    return operations, ""


def _registered_with_jax(file):
    """Why JAX cannot call the library, or ""."""
    import jax

    try:
        library = ctypes.CDLL(os.fspath(file))
        for name in (FORWARD, GRADIENT):
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except Exception as error:  # XLA's own errors, of versions, have no class
        return f"{file.name} cannot be loaded: {error}"
    return ""
