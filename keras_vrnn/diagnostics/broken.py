"""What of a model and its data holds inf or NaN."""

from typing import Any

import keras

from keras_vrnn.diagnostics import remedies
from keras_vrnn.diagnostics.verdict import Verdict

# A longer list says no more than its beginning: one NaN spreads to every weight with the next update.
_SHOWN = 3


def weights(model: keras.Model) -> tuple[str, ...]:
    """Paths of the weights that hold inf or NaN."""
    return tuple(weight.path for weight in model.weights if not _is_finite(weight))


def data(x: Any, y: Any) -> tuple[str, ...]:
    """Which of "x" and "y" hold inf or NaN."""
    leaves = {"x": keras.tree.flatten(x), "y": keras.tree.flatten(y)}
    return tuple(name for name, values in leaves.items() if not all(map(_is_finite, values)))


def verdict(names: tuple[str, ...]) -> Verdict:
    """The verdict on weights and data with these names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    is_data = set(names) <= {"x", "y"}
    return Verdict(
        "broken",
        f"inf or NaN in {', '.join(names[:_SHOWN])}{more}",
        remedies.BROKEN_DATA if is_data else remedies.BROKEN_WEIGHTS,
    )


def _is_finite(tensor):
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype)):
        return True
    return bool(keras.ops.all(keras.ops.isfinite(tensor)))
