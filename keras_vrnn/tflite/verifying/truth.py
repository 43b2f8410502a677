"""What the user's `y` is for an output: class labels, or real targets. Needs NumPy only."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Truth:
    """The right answers for one output; one of the two is None.

    Attributes:
        labels: class indices, of the output's shape without its last axis.
        targets: real values, of the output's shape.
    """

    labels: np.ndarray | None = None
    targets: np.ndarray | None = None


def interpret(y, expected, argument="y"):
    """Returns `y` as the `Truth` of an output.

    It is labels if it holds one whole number per output vector, a class index, or 0 or 1 for a single output between
    0 and 1; or one-hot vectors of the output's shape. Otherwise it is targets of the output's shape, where the last
    axis may be left out if it has length 1.

    Args:
        y: an array.
        expected: the model's output, (samples, ..., n).
        argument: the name of the caller's argument, for the error.

    Raises:
        ValueError: `y` has another shape, holds something other than finite numbers, or names a missing class.
    """
    y = np.asarray(y)
    if y.dtype.kind not in "fiub" or not np.isfinite(y).all():
        raise ValueError(f"`{argument}` must hold finite numbers. Received an array of {y.dtype}")
    per_vector = expected.shape[:-1]
    one_each = y.reshape(per_vector) if y.shape in (per_vector, (*per_vector, 1)) and per_vector else None
    whole = np.array_equal(y, np.round(y))
    if expected.shape[-1] > 1 and expected.ndim > 1:
        if one_each is not None:
            if not whole or one_each.min() < 0 or one_each.max() >= expected.shape[-1]:
                raise ValueError(
                    f"`{argument}` must hold class indices from 0 to {expected.shape[-1] - 1} for an output of shape "
                    f"{expected.shape}. Received: {y.min():g} to {y.max():g}"
                )
            return Truth(labels=one_each.astype(np.int64))
        if y.shape == expected.shape:
            one_hot = set(np.unique(y)) <= {0, 1} and (y.sum(axis=-1) == 1).all()
            return Truth(labels=y.argmax(axis=-1)) if one_hot else Truth(targets=y.astype(np.float64))
    elif one_each is not None and expected.ndim > 1:
        if predictions(expected, expected) is not None and set(np.unique(y)) <= {0, 1}:
            return Truth(labels=one_each.astype(np.int64))
        return Truth(targets=one_each[..., None].astype(np.float64))
    elif y.shape == expected.shape:
        return Truth(targets=y.astype(np.float64))
    raise ValueError(
        f"`{argument}` must hold class labels of shape {per_vector} or targets of shape {expected.shape}. Received "
        f"the shape {y.shape}"
    )


def predictions(values, decided_by):
    """Returns the class that each output vector stands for; None if it does not stand for one."""
    if values.ndim < 2:
        return None
    if values.shape[-1] > 1:
        return values.argmax(axis=-1)
    if decided_by.min() < 0.0 or decided_by.max() > 1.0:
        return None
    return (values[..., 0] >= 0.5).astype(int)
