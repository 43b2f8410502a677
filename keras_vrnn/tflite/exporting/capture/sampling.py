"""Samples for the stock converter's calibration: every value that its part of the model reads.

Needs the TensorFlow backend.
"""

import dataclasses

import numpy as np

from keras_vrnn.quantization.formats import LEAST_SCALE, span
from keras_vrnn.tflite.exporting.capture import lengths
from keras_vrnn.tflite.exporting.capture.calibration import calibrate, clipped


def calibrated(model, options, parts, arrays):
    """Runs the float model on calibration data.

    Args:
        model: the Keras model.
        options: the `Options` of the export, with integer signals.
        parts: the `Partition` of the model in its form.
        arrays: the data, one array per input.

    Returns:
        samples: a function that yields lists of arrays, one array per input of the stock part.
        formats_of: recurrence name -> `Formats`.
        value_formats: name of a float input or of a recurrence's result -> the `Quantization` that holds it.
    """
    scheme = options.scheme
    if options.calibration == "percentile":
        arrays = [clipped(array) for array in arrays]
    measured = calibrate(model, arrays, parts.recurrences, options.calibration)
    formats_of = {
        recurrence.name: recurrence.cell.formats(scheme, ranges, moments)
        for recurrence, ranges, moments in zip(
            parts.recurrences, measured.ranges, measured.moments, strict=True
        )
    }
    values = dict(zip(parts.inputs, arrays, strict=True)) | measured.values
    for number, mask in parts.numbers.items():
        values[number] = parts.masks[mask].of(values[parts.masks[mask].source]).astype(np.float32)
    values |= _without_far_marks(values, parts, scheme)
    # These hold the last step first.
    backwards = {r.sequence for r in parts.recurrences if r.go_backwards}
    backwards |= {name for name, mask in parts.numbers.items() if parts.masks[mask].backwards}
    if options.streaming:  # every chunk of every sample is a sample
        values = {name: lengths.windows_of(value, options.chunk) for name, value in values.items()}
        for recurrence, states in zip(parts.recurrences, measured.states, strict=True):
            for name, state in recurrence.results.items():
                steps = lengths.windows_of(states[state], options.chunk)
                values[name] = steps if name == recurrence.sequence else steps[:, -1]
    elif parts.timed:
        timed = {*parts.timed, *(r.sequence for r in parts.recurrences if r.follows_inputs)}
        timed |= {name for name, mask in parts.numbers.items() if parts.masks[mask].source in timed}
        values = lengths.resized(values, timed, parts.timesteps, backwards)
    spans = dict.fromkeys(parts.numbers, (0.0, 1.0))
    for recurrence, ranges in zip(parts.recurrences, measured.ranges, strict=True):
        for name, state in recurrence.results.items():
            spans[name] = recurrence.cell.state_span(scheme, ranges, state)
    for name, held in spans.items():
        values[name] = np.clip(values[name], *held)

    value_formats = {
        name: scheme.format(values[name].min(), values[name].max())
        for name in parts.inputs
        if values[name].dtype.kind == "f"
    }
    # For values so small, the converter would choose a scale that no runtime can read.
    spans |= {n: span(f, scheme.dtype) for n, f in value_formats.items() if f.scale == LEAST_SCALE}
    for recurrence in parts.recurrences:
        formats = formats_of[recurrence.name]
        value_formats |= {name: formats.signal(state) for name, state in recurrence.results.items()}

    def samples():
        for rows in _batches(len(next(iter(values.values()))), options.batch_size):
            yield [values[name][rows] for name in parts.stock_inputs]
        # The first steps of the first sample, so that the ranges do not depend on how the steps are cut into samples.
        first = next(_batches(len(next(iter(values.values()))), options.batch_size))
        for end in (0, 1):
            yield [
                _reaching(values[name][first], spans, name, end, name in backwards)
                for name in parts.stock_inputs
            ]

    return samples, formats_of, value_formats


def _without_far_marks(values, parts, scheme):
    """Returns the masked float inputs with the value of masked steps moved close to the other values."""
    near = {}
    for mask in parts.masks.values():
        array = near.get(mask.source, values[mask.source]) if mask.source in parts.inputs else None
        if array is None or array.dtype.kind != "f":
            continue
        real = array[dataclasses.replace(mask, backwards=False).of(array)]
        if real.size:
            near[mask.source] = np.clip(array, *scheme.range_with_mark(real.min(), real.max(), mask.value))
    return near


def _batches(count, size):
    """Yields the row numbers of batches of one size; the last batch is filled up from the first rows."""
    for start in range(0, count, size):
        yield np.arange(start, start + size) % count


def _reaching(array, spans, name, end, backwards):
    """Returns a sample that reaches one end of a value's range, so that the stock part gets that range's scale."""
    array = array.copy()
    if name in spans:
        first = array[:1, -1:] if backwards else array[:1]
        first.flat[0] = spans[name][end]
    return array
