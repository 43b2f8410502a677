"""Measures the range of every signal of a recurrence on calibration data."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vrnn.layers.stepping import run
from keras_vrnn.tflite.exporting.capture.observation import observe

_BATCH = 64  # samples at a time; limits memory and does not change the ranges
_TAIL = 0.0001  # the share of values that "percentile" leaves out at either end
_KEPT = (
    1 << 20
)  # values of a signal that "percentile" keeps per batch; about 100 of them are beyond either end


@dataclass(frozen=True)
class Calibration:
    """What the recurrences of a model read and computed on calibration data.

    Attributes:
        values: value name -> result of a recurrence, (samples, T, U) or (samples, U).
        states: for each recurrence all its states by name, (samples, T, U), in the order of computation.
        ranges: for each recurrence signal or operand -> (low, high).
        moments: for each recurrence operand -> (count, Σ v·vᵀ) of the vectors that its weights multiply.
    """

    values: dict[str, np.ndarray]
    states: list[dict[str, np.ndarray]]
    ranges: list[dict[str, tuple[float, float]]]
    moments: list[dict[str, tuple[int, np.ndarray]]]


class _Moment:
    """The number of vectors v and the sum of v·vᵀ."""

    def __init__(self):
        self.sum: tuple[int, Any] = (0, 0.0)

    def add(self, vectors):
        vectors = vectors.reshape(-1, vectors.shape[-1]).astype(np.float64)
        self.sum = self.sum[0] + len(vectors), self.sum[1] + vectors.T @ vectors


class _MinMax:
    """The range from the smallest to the largest value."""

    def __init__(self):
        self.range = (np.inf, -np.inf)

    def add(self, values):
        if not values.size:
            return
        self.range = min(self.range[0], float(values.min())), max(self.range[1], float(values.max()))


class _Percentile:
    """The range that leaves out `_TAIL` of the values at either end."""

    def __init__(self):
        self._values = []

    def add(self, values):
        values = values.ravel()
        self._values.append(values[:: max(1, len(values) // _KEPT)])

    @property
    def range(self):
        return _quantiles(np.concatenate(self._values))


_OBSERVERS: dict[str, Any] = {"minmax": _MinMax, "percentile": _Percentile}


def calibrate(model, data, recurrences, method):
    """Runs the float model on calibration data.

    Args:
        model: the Keras model.
        data: list of arrays, one per input, each with the batch axis first.
        recurrences: the model's `Recurrence`s, in order of call.
        method: "minmax" or "percentile".

    Returns:
        A `Calibration`.

    Raises:
        ValueError: a signal is not finite.
    """
    values = defaultdict(list)
    states: list[list[dict[str, np.ndarray]]] = [[] for _ in recurrences]
    signals = [
        {name: _OBSERVERS[method]() for name in (*r.cell.operands, *r.cell.signals)} for r in recurrences
    ]
    moments = [{name: _Moment() for name in r.cell.operands} for r in recurrences]
    for start in range(0, len(data[0]), _BATCH):
        calls = observe(model, [array[start : start + _BATCH] for array in data])
        for k, (recurrence, call) in enumerate(zip(recurrences, calls, strict=True)):
            with np.errstate(all="ignore"):  # the check below reports an overflow with the layer's name
                states[k].append(_measure(recurrence, call, signals[k], moments[k]))
            for name, value in zip(
                (recurrence.sequence, *recurrence.finals), (call.sequence, *call.finals), strict=True
            ):
                if value is not None:
                    values[name].append(value)
    ranges = [{name: signal.range for name, signal in own.items()} for own in signals]
    for recurrence, own in zip(recurrences, ranges, strict=True):
        if not np.isfinite(list(own.values())).all():
            raise ValueError(
                f"model: on calibration_data the state of layer {recurrence.layer!r} becomes NaN or infinite, or every "
                "step of it is masked; there is no scale for it. Check the data and the weights, or choose a bounded "
                "activation such as tanh."
            )
    return Calibration(
        values={name: np.concatenate(pieces) for name, pieces in values.items()},
        states=[
            {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
            for pieces in states
        ],
        ranges=ranges,
        moments=[{name: moment.sum for name, moment in own.items()} for own in moments],
    )


def clipped(array):
    """Returns float values clipped to the range without their `_TAIL` at either end; integers unchanged."""
    return np.clip(array, *_quantiles(array)) if array.dtype.kind == "f" else array


def _quantiles(values):
    # Only values that occur: interpolation between two would let an outlier weigh in.
    return float(np.quantile(values, _TAIL, method="higher")), float(
        np.quantile(values, 1 - _TAIL, method="lower")
    )


def _measure(recurrence, call, signals, moments):
    """Adds the signals of one batch at the unmasked steps and returns the states by name, (B, T, U) each."""
    cell, mask = recurrence.cell, call.mask
    z = cell.project(call.x)
    mask = np.ones(call.x.shape[:2], bool) if mask is None else mask.astype(bool)
    for name, values in zip(cell.states, call.initial_states, strict=True):
        signals[name].add(values)
    for name, values in zip(cell.projections, z, strict=True):
        signals[name].add(values[mask])
    signals["x"].add(call.x[mask])
    moments["x"].add(call.x[mask])

    def step(t, states):
        made, kept = cell.step(tuple(each[:, t] for each in z), states), mask[:, t]
        for name, values in made.operands.items():
            moments[name].add(values[kept])
            signals[name].add(values[kept])
        for name, values in made.signals.items():
            signals[name].add(values[kept])
        return tuple(made.signals[name] for name in cell.states)

    states = run(step, call.initial_states, call.x.shape[1], mask, recurrence.go_backwards)
    return dict(zip(cell.states, states, strict=True))
