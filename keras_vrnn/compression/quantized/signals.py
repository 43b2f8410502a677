"""Signals between the layers of a quantization-aware model: their ranges, and the formats that tensors carry.

A layer keeps the range of each signal that it makes, as a weight that does not train. From the range follows the
format, and the tensor carries its format to the next layer, which reads its integers. Keras carries masks in the same
way.
"""

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized.compensation import Moments
from keras_vrnn.layers.call_checks import named
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import Quantization, short
from keras_vrnn.quantization.schemes import SCHEMES

_ATTRIBUTE = "_keras_vrnn_format"
_MOMENTUM = 0.99  # of the moving averages, as usual for ranges; TFMOT has 0.999
_EVERY = 8  # training steps from one measurement of a recurrence's ranges to the next
_LOOP_MOMENTUM = 0.9  # of such a range
_MODE = threading.local()


class Signals:
    """The ranges of the signals that a layer makes, as one weight (signals, 2).

    Args:
        layer: the layer.
        names: names of the signals.
        scheme: a key of `SCHEMES`.
    """

    def __init__(self, layer, names, scheme):
        self._layer = named(layer)
        self.names = tuple(names)
        self.scheme = SCHEMES[scheme]
        self.moments = Moments(self.scheme)  # of what 4-bit weights multiply, during calibration
        self._variable = layer.add_weight(
            name="ranges", shape=(len(self.names), 2), initializer="zeros", trainable=False, dtype="float32"
        )

    def range(self, name):
        """Returns (low, high) as float64 tensors."""
        low, high = ops.unstack(ops.cast(self._variable[self.names.index(name)], "float64"), 2)
        return low, high

    def format(self, name) -> Quantization:
        """Returns the format of a signal that the next layer or the stock converter reads."""
        return short(self.scheme.format(*self.range(name)), self.scheme.dtype)

    def average(self, ends, momentum=_MOMENTUM, where=True):
        """Moves the ranges towards those of a batch, unless the batch has numbers that are not finite.

        Args:
            ends: (signals, 2).
            momentum: the share of the old range.
            where: a tensor of bool, whether to do so at all.
        """
        old = ops.convert_to_tensor(self._variable)
        new = momentum * old + (1 - momentum) * ends
        take = ops.logical_and(where, ops.all(ops.isfinite(ends)))
        self._variable.assign(ops.where(take, new, old))

    def widen(self, values):
        """Widens the ranges to hold NumPy arrays, signal -> array, in calibration.

        Raises:
            ValueError: a signal is NaN or infinite.
        """
        for name, array in values.items():
            if not np.all(np.isfinite(array)):
                raise ValueError(
                    f"{self._layer}: its signal {name!r} is NaN or infinite on `calibration_data`, so it has no range. "
                    "kv.diagnostics shows where the states grow; train the float model until they are finite."
                )
        ranges = np.array(self._variable)
        for name, array in values.items():
            row = ranges[self.names.index(name)]
            row[:] = min(row[0], np.min(array, initial=0.0)), max(row[1], np.max(array, initial=0.0))
        self._variable.assign(ranges)


class LoopSignals(Signals):
    """The same of a recurrence, whose ranges are measured at every eighth training step: it costs half a forward pass.

    Args:
        layer, names, scheme: as for `Signals`.
    """

    def __init__(self, layer, names, scheme):
        super().__init__(layer, names, scheme)
        self.observed_steps = layer.add_weight(
            name="observed_steps", shape=(), initializer="zeros", trainable=False, dtype="int32"
        )

    @property
    def is_due(self):
        """Whether this training step measures, a tensor."""
        return ops.equal(self.observed_steps % _EVERY, 0)

    def average_if_due(self, ends):
        """Moves the ranges towards `ends`, (signals, 2), if the step is due, and counts it."""
        self.average(ends, _LOOP_MOMENTUM, self.is_due)
        self.observed_steps.assign_add(1)

    def observe(self, measured, mask):
        """Measures signals if the step is due.

        Args:
            measured: signal -> its numbers before they are clipped, (time, batch, units).
            mask: (time, batch, 1) of bool, where they count; or None.
        """
        measured = {name: (ops.stop_gradient(signal), mask) for name, signal in measured.items()}
        ends = ops.cond(
            self.is_due,
            lambda: masked_ends(self.names, measured),
            lambda: ops.zeros((len(self.names), 2)),
        )
        self.average_if_due(ends)


class Quantized(keras.layers.Layer):
    """What all quantized layers share; a mixin of a Keras layer.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for the Keras layer.
    """

    def __init__(self, *args, scheme, **kwargs):
        super().__init__(*args, **kwargs)
        self.scheme = scheme

    def get_config(self):
        return {**super().get_config(), "scheme": self.scheme}


@contextlib.contextmanager
def calibrating():
    """Lets the layers of this thread compute in float32 and widen their ranges while the block runs."""
    _MODE.calibrating = True
    try:
        yield
    finally:
        _MODE.calibrating = False


@contextlib.contextmanager
def noting():
    """Yields a list that receives, while the block runs the model in this thread, a `Note` from each layer call."""
    _MODE.notes = []
    try:
        yield _MODE.notes
    finally:
        _MODE.notes = None


@dataclass(frozen=True)
class Note:
    """What one call of a layer computed with: the export takes it from here.

    Attributes:
        layer: the layer.
        formats: signal -> `Quantization`.
        constants: weight -> its real values as the file holds them, and their scale.
        step: of a recurrence, its `Step`.
    """

    layer: Any
    formats: dict[str, Quantization]
    constants: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    step: Any = None


def note(layer, formats, constants=None, step=None):
    """Adds a `Note` to the list of `noting`, if there is one; formats and constants are tensors."""
    notes = getattr(_MODE, "notes", None)
    if notes is None:
        return
    constants = {
        name: tuple(ops.convert_to_numpy(part) for part in parts) for name, parts in (constants or {}).items()
    }
    notes.append(Note(layer, {name: plain(form) for name, form in formats.items()}, constants, step))


def plain(quantization):
    """Returns a format of tensors as one of numbers or arrays."""
    scale = ops.convert_to_numpy(quantization.scale)
    zero_point = int(ops.convert_to_numpy(quantization.zero_point))
    return Quantization(float(scale) if np.ndim(scale) == 0 else scale, zero_point, quantization.axis)


def is_calibrating():
    """Whether `calibrating` is in force."""
    return getattr(_MODE, "calibrating", False)


def carrying(tensor, quantization):
    """Lets a tensor carry its format; None takes it away."""
    setattr(tensor, _ATTRIBUTE, quantization)
    return tensor


def carried(tensor):
    """Returns the format that a tensor carries, or None."""
    return getattr(tensor, _ATTRIBUTE, None)


def format_of(tensor, layer):
    """Returns the format that a tensor carries.

    Raises:
        ValueError: it carries none, so the layer would not know its integers.
    """
    quantization = carried(tensor)
    if quantization is None and not is_calibrating():
        raise ValueError(
            f"{named(layer)}: its input carries no number format. Only the layers that kv.compression.quantize_aware "
            "makes hand formats on: call the whole model, and put no other layer between them."
        )
    return quantization


def integers_of(tensor, quantization):
    """Returns the integers, int64, of real numbers in their format; halves are rounded to even."""
    whole = ops.round(ops.stop_gradient(tensor) / ops.cast(quantization.scale, "float32"))
    return ops.cast(whole, "int64") + quantization.zero_point


def ends(*signals):
    """Returns the lowest and highest number of each signal, (signals, 2)."""
    # Over the last axis last, since XLA runs reductions over the outer axes with vector instructions.
    axes = [tuple(range(ops.ndim(each) - 1)) for each in signals]
    return ops.stack(
        [
            ops.stack([reduce(reduce(ops.stop_gradient(each), axis=outer)) for reduce in (ops.min, ops.max)])
            for each, outer in zip(signals, axes, strict=True)
        ]
    )


def masked_ends(names, measured):
    """Returns the lowest and highest number of signals, (signals, 2); zeros where a signal was not measured.

    Args:
        names: the names of the signals, in order.
        measured: name -> the signal (batch, ..., units) and a mask (batch, ...) or (batch, 1), or None.
    """
    found = []
    for name in names:
        signal, mask = measured.get(name, (None, None))
        if signal is None:
            found.append(ops.zeros((2,)))
            continue
        if mask is not None:
            mask = mask if ops.ndim(mask) == ops.ndim(signal) else ops.expand_dims(mask, -1)
            signal = ops.where(mask, signal, 0.0)
        found.append(ends(signal)[0])
    return ops.stack(found)


def joined_ends(one, other):
    """Returns the lowest and highest of two results of `ends`."""
    low = ops.minimum(one[:, 0], other[:, 0])
    return ops.stack([low, ops.maximum(one[:, 1], other[:, 1])], axis=1)


def straight_through(real, exact):
    """Returns the value of `exact` with the gradient of `real`."""
    return real + ops.stop_gradient(exact - real)


def rounded(real, integers, quantization, dtype):
    """Returns integers as real numbers in their format, with the gradient of `real` within the format's range."""
    low, high = (ops.cast(end, "float32") for end in integer.real_ends(quantization, dtype))
    return carrying(
        straight_through(ops.clip(real, low, high), integer.dequantize(integers, quantization)), quantization
    )


def check_backend():
    """Raises unless Keras computes with TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Quantization-aware training needs the TensorFlow backend of Keras. Received: "
            f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow."
        )
