"""Measures the ranges of every signal of a recurrence on the user's data."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_vrnn.tflite.interception import observe

_BATCH = 64  # samples at a time; bounds memory, does not change the ranges

_ACTIVATIONS: dict[str, Callable] = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "linear": lambda a: a,
}


@dataclass(frozen=True)
class Calibration:
    """What the recurrences of a model did on calibration data.

    Attributes:
        values: value name -> what a recurrence made, (samples, T, U) or (samples, U).
        states: for each recurrence all its states h, (samples, T, U), in the order they were computed.
        ranges: for each recurrence signal -> (low, high).
    """

    values: dict[str, np.ndarray]
    states: list[np.ndarray]
    ranges: list[dict[str, tuple[float, float]]]


def calibrate(model, data, recurrences):
    """Runs the float model on calibration data.

    Args:
        model: the Keras model.
        data: list of arrays, one an input, each with the batch axis first.
        recurrences: the model's `Recurrence`s, in order of call.

    Returns:
        A `Calibration`.
    """
    values = defaultdict(list)
    states: list[list[np.ndarray]] = [[] for _ in recurrences]
    ranges: list[dict[str, tuple[float, float]]] = [{} for _ in recurrences]
    for start in range(0, len(data[0]), _BATCH):
        calls = observe(model, [array[start : start + _BATCH] for array in data])
        for k, (recurrence, call) in enumerate(zip(recurrences, calls, strict=True)):
            states[k].append(_measure(recurrence, call, ranges[k]))
            for name, value in ((recurrence.sequence, call.sequence), (recurrence.final, call.final)):
                if value is not None:
                    values[name].append(value)
    return Calibration(
        values={name: np.concatenate(pieces) for name, pieces in values.items()},
        states=[np.concatenate(pieces) for pieces in states],
        ranges=ranges,
    )


def _measure(recurrence, call, ranges):
    """Widens `ranges` by the signals of one batch: z = x·W_x + b, r = h·W_h, a = z + r, h = φ(a).

    Returns:
        The states h, (B, T, U).
    """

    def widen(signal, values):
        low, high = ranges.get(signal, (np.inf, -np.inf))
        ranges[signal] = (min(low, float(values.min())), max(high, float(values.max())))

    activation = _ACTIVATIONS[recurrence.activation]
    h = call.initial_state
    widen("h", h)
    z = call.x @ recurrence.kernel + recurrence.bias
    widen("z", z)
    states = []
    steps = range(z.shape[1])
    for t in reversed(steps) if recurrence.go_backwards else steps:
        r = h @ recurrence.recurrent_kernel
        a = z[:, t] + r
        keep = np.ones(len(h), bool) if call.mask is None else call.mask[:, t].astype(bool)
        h = np.where(keep[:, None], activation(a), h)
        for signal, values in (("r", r), ("a", a), ("h", h)):
            widen(signal, values)
        states.append(h)
    return np.stack(states, axis=1)
