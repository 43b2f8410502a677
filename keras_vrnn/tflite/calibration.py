"""Measures the ranges of every signal of a recurrence on the user's data."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from keras_vrnn.tflite.interception import observe

_BATCH = 64  # samples at a time; bounds memory, does not change the ranges

_ACTIVATIONS: dict[str, Callable] = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "linear": lambda a: a,
}


def calibrate(model, data, recurrences):
    """Runs the float model on calibration data.

    Args:
        model: the Keras model.
        data: list of arrays, one an input, each with the batch axis first.
        recurrences: the model's `Recurrence`s, in order of call.

    Returns:
        `(values, ranges)`: the model's inputs and what the recurrences made, value name -> array with the
        batch axis first; and for each recurrence the ranges signal -> (low, high).
    """
    pieces = defaultdict(list)
    ranges = [defaultdict(lambda: (np.inf, -np.inf)) for _ in recurrences]
    for start in range(0, len(data[0]), _BATCH):
        calls = observe(model, [array[start : start + _BATCH] for array in data])
        for recurrence, measured, call in zip(recurrences, ranges, calls, strict=True):
            _measure(recurrence, call, measured)
            for name, value in ((recurrence.sequence, call.sequence), (recurrence.final, call.final)):
                if name is not None:
                    pieces[name].append(value)
    return {name: np.concatenate(values) for name, values in pieces.items()}, ranges


def _measure(recurrence, call, ranges):
    """Widens `ranges` by the signals of one batch: z = x·W_x + b, r = h·W_h, a = z + r, h = φ(a)."""

    def widen(signal, values):
        low, high = ranges[signal]
        ranges[signal] = (min(low, float(values.min())), max(high, float(values.max())))

    activation = _ACTIVATIONS[recurrence.activation]
    h = call.initial_state
    widen("x", call.x)
    widen("h", h)
    z = call.x @ recurrence.kernel + recurrence.bias
    widen("z", z)
    steps = range(recurrence.timesteps)
    for t in reversed(steps) if recurrence.go_backwards else steps:
        r = h @ recurrence.recurrent_kernel
        a = z[:, t] + r
        keep = np.ones(len(h), bool) if call.mask is None else call.mask[:, t].astype(bool)
        h = np.where(keep[:, None], activation(a), h)
        for signal, values in (("r", r), ("a", a), ("h", h)):
            widen(signal, values)
