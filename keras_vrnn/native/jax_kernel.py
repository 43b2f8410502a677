"""The same functions of JAX's arrays, as calls of the library in programs of XLA; only for a CPU.

They have no derivatives and cannot be vectorized: `layers.native_jax` makes them parts of JAX.
"""

from __future__ import annotations

from typing import Any

from keras_vrnn.native import library
from keras_vrnn.native.kernel import ACTIVATIONS, FOR_GRADIENT, NOTHING, Gradients, Recurrence

# The numbers of recurrence.h: from LONG steps on, what the gradient needs is h before each block of steps.
LONG, LONG_BLOCK = 1024, 64


def kept_steps(steps: int, keep: int) -> int:
    """How many states `forward` keeps of a sequence."""
    if keep == FOR_GRADIENT and steps >= LONG:
        return -(-steps // LONG_BLOCK)
    return 0 if keep == NOTHING else steps


def forward(recurrence: Recurrence, settings: dict[str, int], keep: int) -> tuple[Any, Any]:
    """As `kernel.forward`; `settings` are from `settings`."""
    (batch, time, _), units = recurrence.x.shape, recurrence.state.shape[1]
    shapes = (batch, units), (batch, kept_steps(time, keep), units)
    return _called(library.FORWARD, shapes, _inputs(recurrence), {**settings, "keep": keep})


def gradient(
    recurrence: Recurrence, settings: dict[str, int], hidden: Any, d_last: Any, d_hidden: Any, inputs: bool
) -> Gradients:
    """As `kernel.gradient`, with dz empty always, and dx if not `inputs`."""
    (batch, time, features), units = recurrence.x.shape, recurrence.state.shape[1]
    shapes = (
        (0, time, units),
        (batch if inputs else 0, time, features),
        (batch, units),
        (features, units),
        (units, units),
        (0 if recurrence.bias is None else units,),
    )
    arrays = (*_inputs(recurrence), hidden, _or_empty(d_last, 2), _or_empty(d_hidden, 3))
    return Gradients(*_called(library.GRADIENT, shapes, arrays, settings))


def settings(activation: str, reverse: bool) -> dict[str, int]:
    """What a call depends on beside its arrays."""
    return {
        "activation": ACTIVATIONS[activation],
        "reverse": int(reverse),
        "threads": library.threads(),
        "instructions": library.instructions(),
    }


def _called(name, shapes, arrays, numbers):
    import jax
    import numpy as np

    results = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    return jax.ffi.ffi_call(name, results)(*arrays, **{key: np.int64(n) for key, n in numbers.items()})


def _inputs(recurrence):
    *given, bias, mask, recurrent_mask = recurrence
    return *given, _or_empty(bias, 1), _or_empty(mask, 2, "bool"), _or_empty(recurrent_mask, 2)


def _or_empty(array, rank, dtype="float32"):
    import jax

    return jax.numpy.zeros((0,) * rank, dtype) if array is None else array
