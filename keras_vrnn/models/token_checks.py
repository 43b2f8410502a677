"""Checks of the token arrays of sequence-to-sequence models, before any work starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn.symbols import PADDING


def special_tokens(start: Any, end: Any, vocab_size: int) -> tuple[int, int]:
    """`start` and `end`, two ids of the target vocabulary other than padding."""
    must = f"be a token id in 1 … {vocab_size - 1} (target_vocab_size={vocab_size}; 0 is padding)"
    for name, value in (("start", start), ("end", end)):
        if not 0 < (checks.as_integer(value) or 0) < vocab_size:
            raise checks.refused(name, must, value)
    if start == end:
        raise checks.refused("end", "differ from `start`", end)
    return int(start), int(end)


def tokens(name: str, value: Any, vocab_size: int, length: int | None = None) -> np.ndarray:
    """`value` as an int32 array (samples, steps) of token ids, padded at the end only, without empty rows."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        fix = f"Pad all rows to one length with 0. ({error})"
        raise ValueError(checks.message(name, "be one array", "rows of several lengths", fix)) from None
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iuf":
        must = "hold token ids of shape (samples, steps), with at least one sample and one step"
        raise ValueError(checks.message(name, must, f"shape {array.shape}, dtype {array.dtype}"))
    ids = array.astype(np.int32)
    if array.dtype.kind == "f" and not np.array_equal(ids, array):
        raise ValueError(checks.message(name, "hold integers", "fractions or NaN"))
    if length is not None and ids.shape[1] != length:
        must = f"have {length} steps, as when the model was built"
        raise ValueError(checks.message(name, must, f"shape {ids.shape}", "Pad with 0."))
    if ids.min() < 0 or ids.max() >= vocab_size:
        row, step = np.argwhere((ids < 0) | (ids >= vocab_size))[0]
        must = f"hold token ids in 0 … {vocab_size - 1}"
        raise ValueError(checks.message(name, must, f"{ids[row, step]} in row {row}, step {step}"))
    real = ids != PADDING
    if not real[:, 0].all():
        row = np.argmin(real[:, 0])
        if real[row].any():
            received, fix = f"row {row}, which starts with padding", "Put padding at the end."
        else:
            received, fix = f"row {row}, which is empty: only padding", "Remove the row."
        raise ValueError(checks.message(name, "start each row with a token", received, fix))
    if (real[:, 1:] & ~real[:, :-1]).any():
        row = np.argmax((real[:, 1:] & ~real[:, :-1]).any(axis=1))
        received = f"row {row}, which has padding (0) between tokens"
        raise ValueError(checks.message(name, "be padded at the end only", received))
    return ids


def pairs(config: dict[str, Any], x: Any, y: Any, x_name: str, y_name: str) -> None:
    """Checks arrays for teacher forcing: x = (source, target_in), y = target_out. Datasets and generators pass."""
    if hasattr(x, "shape") or isinstance(x, dict) or (x is not None and y is not None and not _is_pair(x)):
        raise ValueError(
            checks.message(x_name, "be the pair (source, target_in)", f"an object of type {type(x).__name__}")
        )
    if not _is_pair(x) or y is None:
        return
    size = config["target_vocab_size"]
    source = tokens(f"{x_name}[0] (source)", x[0], config["source_vocab_size"], config["source_length"])
    target_in = tokens(f"{x_name}[1] (target_in)", x[1], size, config["target_length"])
    target_out = tokens(f"{y_name} (target_out)", y, size, config["target_length"])
    if len(source) != len(target_in) or target_in.shape != target_out.shape:
        raise ValueError(
            "source, target_in and target_out must have the same number of rows, and target_in and target_out the same "
            f"number of steps. Received: shapes {source.shape}, {target_in.shape}, {target_out.shape}."
        )
    fix = "`model.teacher_forcing(target)` makes target_in and target_out from targets without start and end."
    if (target_in[:, 0] != config["start"]).any():
        row = np.argmax(target_in[:, 0] != config["start"])
        must = f"start each row with the start token {config['start']}"
        received = f"row {row}, which starts with {target_in[row, 0]}"
        raise ValueError(checks.message(f"{x_name}[1] (target_in)", must, received, fix))
    ended = (target_out == config["end"]).any(axis=1)
    if not ended.all():
        must = f"hold the end token {config['end']} in each row"
        received = f"row {np.argmin(ended)} without it"
        raise ValueError(checks.message(f"{y_name} (target_out)", must, received, fix))


def _is_pair(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and len(x) == 2
