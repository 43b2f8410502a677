"""Token arrays of sequence-to-sequence models: what is wrong with them, said before any work."""

import numpy as np

from keras_vrnn.symbols import PADDING


def special_tokens(start, end, vocab_size):
    """Raises unless start and end are two ids of the target vocabulary, other than padding."""
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < vocab_size:
            raise ValueError(
                f"`{name}` must be a token id in 1 … {vocab_size - 1} (target_vocab_size={vocab_size}; 0 is padding). "
                f"Received: {name}={value!r}"
            )
    if start == end:
        raise ValueError(f"`start` and `end` must be two different tokens. Received: start=end={start}")


def tokens(name, value, vocab_size, length=None):
    """`value` as an int32 array (samples, steps) of token ids, padded at the end only, no row empty."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be one array: pad all rows to one length with 0. ({error})"
        ) from None
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iuf":
        raise ValueError(
            f"`{name}` must hold token ids of shape (samples, steps), at least one of each. "
            f"Received shape {array.shape}, dtype {array.dtype}."
        )
    ids = array.astype(np.int32)
    if array.dtype.kind == "f" and not np.array_equal(ids, array):
        raise ValueError(f"`{name}` must hold integers. Received fractions or NaN.")
    if length is not None and ids.shape[1] != length:
        raise ValueError(
            f"`{name}` must have {length} steps, as the model was built for. Received shape {ids.shape}; pad with 0."
        )
    if ids.min() < 0 or ids.max() >= vocab_size:
        row, step = np.argwhere((ids < 0) | (ids >= vocab_size))[0]
        raise ValueError(
            f"`{name}` must hold token ids in 0 … {vocab_size - 1}. "
            f"Received {ids[row, step]} in row {row}, step {step}."
        )
    real = ids != PADDING
    if not real[:, 0].all():
        row = np.argmin(real[:, 0])
        what = "starts with padding; padding goes at the end" if real[row].any() else "is empty: only padding"
        raise ValueError(f"`{name}`: row {row} {what}.")
    if (real[:, 1:] & ~real[:, :-1]).any():
        row = np.argmax((real[:, 1:] & ~real[:, :-1]).any(axis=1))
        raise ValueError(f"`{name}`: row {row} has padding (0) between tokens; padding goes at the end.")
    return ids


def pairs(config, x, y, x_name, y_name):
    """Checks arrays for teacher forcing: x = (source, target_in), y = target_out. Others, such as datasets, pass."""
    if hasattr(x, "shape") or isinstance(x, dict) or (x is not None and y is not None and not _is_pair(x)):
        raise ValueError(f"`{x_name}` must be the pair (source, target_in). Received: {type(x).__name__}")
    if not _is_pair(x) or y is None:
        return
    size = config["target_vocab_size"]
    source = tokens(f"{x_name}[0] (source)", x[0], config["source_vocab_size"], config["source_length"])
    target_in = tokens(f"{x_name}[1] (target_in)", x[1], size, config["target_length"])
    target_out = tokens(f"{y_name} (target_out)", y, size, config["target_length"])
    if len(source) != len(target_in) or target_in.shape != target_out.shape:
        raise ValueError(
            "source, target_in and target_out must have one number of rows, and the latter two one number of steps. "
            f"Received shapes {source.shape}, {target_in.shape}, {target_out.shape}."
        )
    fix = "model.teacher_forcing(target) makes both from targets without start and end."
    if (target_in[:, 0] != config["start"]).any():
        row = np.argmax(target_in[:, 0] != config["start"])
        raise ValueError(
            f"`{x_name}[1]` (target_in): row {row} starts with {target_in[row, 0]}, not with the start token "
            f"{config['start']}; {fix}"
        )
    ended = (target_out == config["end"]).any(axis=1)
    if not ended.all():
        raise ValueError(
            f"`{y_name}` (target_out): row {np.argmin(ended)} has no end token {config['end']}; {fix}"
        )


def _is_pair(x):
    return isinstance(x, (list, tuple)) and len(x) == 2
