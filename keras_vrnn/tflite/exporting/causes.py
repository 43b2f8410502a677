"""Why an integer file differs from Keras: causes that can be measured, each with its remedy."""

import numpy as np

from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.tflite.exporting.capture.observation import observe
from keras_vrnn.tflite.running.engines import dequantize, quantize

UNKNOWN = (
    "none that stands out; quantization='int16x8' or 'float32' costs less accuracy, and kv.tflite.verify shows where "
    "the error arises"
)
_FEW_STEPS = 8  # integers over which an output varies
_OUTLIERS = 10  # a range that is so many times as wide as that of 98 % of its values
_SATURATED = 0.02  # share of an output
_LOST = 0.001  # share of the steps that count
_WIDE_STEP = 4.0  # of a pre-activation: as far as tanh and sigmoid vary
_UNEQUAL = 30  # ratio of the reach of one unit to that of the middle one


def find(runner, name, expected, model, arrays, parts, options):
    """Returns the likely causes of an output's error, as parts of a sentence.

    Args:
        runner: the `Runner` of the file.
        name: the output in the model.
        expected: what Keras gives for it.
        model: the Keras model.
        arrays: the data, one array per input.
        parts: the `Partition` of the model.
        options: the `Options` of the export.
    """
    if not options.integer:
        return []
    output = runner.details[runner.outputs[list(parts.outputs).index(name)]]
    inputs = [(key, runner.details[key], array) for key, array in zip(parts.inputs, arrays, strict=True)]
    found = [*_masks(inputs, parts), *_outliers(inputs), *_output(output, expected)]
    return found + _units(model, arrays, parts)


def _masks(inputs, parts):
    """Steps that count, but have the integers of a masked one."""
    for name, detail, array in inputs:
        for mask in parts.masks.values():
            if mask.source != name or not detail["quantization"][0]:
                continue
            counts = mask.of(array)
            value = dequantize(quantize(np.array([mask.value]), detail), detail)
            rounded = dequantize(quantize(array, detail), detail)
            seen = (rounded != value).any(axis=-1) if rounded.ndim > 2 else rounded != value
            seen = seen[:, ::-1] if mask.backwards else seen
            lost = np.mean(counts & ~seen) / max(np.mean(counts), 1e-9)
            if lost > _LOST:
                yield (
                    f"{lost:.1%} of the steps of input {name!r} that count are rounded to {mask.value:g}, the value of "
                    "masked steps, and are skipped: pass io='float32', which compares before rounding, or "
                    "quantization='int16x8', or mask with a value far from the data"
                )


def _outliers(inputs):
    """A few values that stretch the scale of an input."""
    for name, detail, array in inputs:
        if not detail["quantization"][0]:
            continue
        low, high = np.quantile(array, (0.01, 0.99))
        ends = _span(detail)
        if ends[1] - ends[0] > _OUTLIERS * max(high - low, 0.0):
            yield (
                f"the range of input {name!r}, {ends[0]:.3g} to {ends[1]:.3g}, is set by few values, while 98 % lie "
                f"from {low:.3g} to {high:.3g}: leave outliers out, pass calibration='percentile', or scale the data"
            )


def _output(detail, expected):
    """An output that its format does not hold."""
    step = detail["quantization"][0]
    if not step or expected.dtype.kind != "f":
        return
    low, high = _span(detail)
    beyond = np.mean((expected < low - step) | (expected > high + step))
    if beyond > _SATURATED:
        yield f"{beyond:.1%} of the output lies beyond the range of its format, {low:.3g} to {high:.3g}: it saturates"
    if np.ptp(expected) < _FEW_STEPS * step:
        yield (
            f"the output varies by {np.ptp(expected):.2g}, which is {np.ptp(expected) / step:.1f} steps of its format: "
            "scale it up inside the model, or choose quantization='int16x8'"
        )


def _units(model, arrays, parts):
    """Units of a recurrence that share one scale, but differ much in reach."""
    calls = observe(model, [array[:16] for array in arrays])
    found = []
    for recurrence, call in zip(parts.recurrences, calls, strict=False):
        z = recurrence.cell.project(call.x).reshape(-1, recurrence.cell.units)
        reach = np.abs(z).max(axis=0)
        largest = np.abs(call.x).max()
        if reach.max() / 256 > _WIDE_STEP:
            found.append(
                f"the inputs of layer {recurrence.layer!r} reach {largest:.3g} and its pre-activation "
                f"{reach.max():.3g}: one step of 8 bits is more than tanh or sigmoid resolves; scale it to about 1"
            )
        middle = np.median(reach)
        if reach.max() > _UNEQUAL * max(middle, 1e-30):
            found.append(
                f"in layer {recurrence.layer!r} the input product of unit {int(reach.argmax())} reaches "
                f"{reach.max():.3g}, of the middle unit {middle:.3g}, and they share one scale: scale its weights or "
                "its inputs down"
            )
    return found


def _span(detail):
    """Returns the real values that a tensor of a file can hold, from its entry in `Runner.details`."""
    return span(Quantization(*detail["quantization"]), detail["dtype"])
