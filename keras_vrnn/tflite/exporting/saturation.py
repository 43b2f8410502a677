"""How much of each signal of a recurrence lies beyond the range of its number format, where values are clipped.

Needs the TensorFlow backend.
"""

import numpy as np

from keras_vrnn.layers.stepping import run
from keras_vrnn.quantization.formats import span
from keras_vrnn.tflite.exporting.capture.observation import observe

_SAMPLES = 16


def measure(model, arrays, recurrences, formats_of, dtype):
    """Returns recurrence name -> signal -> the share (0 to 1) of its values that its format clips.

    The values are those of the float arithmetic, so they show what the format cuts off.

    Args:
        model: The Keras model.
        arrays: The data, one array per input, of which the first samples are used.
        recurrences: The `Recurrence`s of the model, in the order of their calls.
        formats_of: Recurrence name -> `Formats`.
        dtype: The integer type of the signals.
    """
    calls = observe(model, [array[:_SAMPLES] for array in arrays])
    return {
        recurrence.name: _shares(recurrence.cell, call, formats_of[recurrence.name].signals, dtype)
        for recurrence, call in zip(recurrences, calls, strict=True)
    }


def _shares(cell, call, formats, dtype):
    z = cell.project(call.x)
    mask = None if call.mask is None else call.mask.astype(bool)
    clipped = {name: [] for name in cell.results}

    def step(t, states):
        with np.errstate(over="ignore", invalid="ignore"):
            made = cell.step(tuple(each[:, t] for each in z), states).signals
        valid = slice(None) if mask is None else mask[:, t]
        for name, each in clipped.items():
            each.append(_is_clipped(made[name][valid], formats[name], dtype).ravel())
        return tuple(made[name] for name in cell.states)

    run(step, call.initial_states, call.x.shape[1], mask, call.layer.go_backwards)
    # All steps may be masked.
    counts = {name: np.concatenate(each) for name, each in clipped.items() if each}
    return {name: float(each.mean()) if each.size else 0.0 for name, each in counts.items()}


def _is_clipped(values, quantization, dtype):
    """Whether real values lie more than half a step beyond the ends of the integer range; NaN counts too."""
    low, high = span(quantization, dtype)
    half = quantization.scale / 2
    return ~((values >= low - half) & (values <= high + half))
