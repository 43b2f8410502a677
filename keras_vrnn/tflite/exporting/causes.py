"""Finds likely causes of an integer file's error by measurement, each with a remedy."""

import numpy as np

from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.tflite.exporting.capture.observation import observe
from keras_vrnn.tflite.running.engines import dequantize, quantize

UNKNOWN = (
    "none stands out; quantization='int16x8' or 'float32' is more accurate, and kv.tflite.verify shows where the error "
    "arises"
)
_FEW_STEPS = 8  # quantization steps over which an output varies
_OUTLIERS = 10  # width of a range relative to the range of 98 % of the values
_SATURATED = 0.02  # share of the values of an output
_LOST = 0.001  # share of the unmasked steps
_WIDE_STEP = 4.0  # of a pre-activation; tanh and sigmoid vary over about this width
_UNEQUAL = 30  # ratio of one unit's reach to the median


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
    return [*found, *_units(model, arrays, parts), *_weights(parts, options)]


def _masks(inputs, parts):
    """Unmasked steps whose integers equal those of a masked step."""
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
                    f"{lost:.1%} of the unmasked steps of input {name!r} are rounded to {mask.value:g}, the value of "
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
                f"the range of input {name!r}, {ends[0]:.3g} to {ends[1]:.3g}, is set by few values; 98 % are between "
                f"{low:.3g} and {high:.3g}: leave outliers out, pass calibration='percentile', or scale the data"
            )


def _output(detail, expected):
    """An output that exceeds its format, or varies too little for it."""
    step = detail["quantization"][0]
    if not step or expected.dtype.kind != "f":
        return
    low, high = _span(detail)
    beyond = np.mean((expected < low - step) | (expected > high + step))
    if beyond > _SATURATED:
        yield f"{beyond:.1%} of the output values saturate, being beyond the format's range, {low:.3g} to {high:.3g}"
    if np.ptp(expected) < _FEW_STEPS * step:
        yield (
            f"the output varies by {np.ptp(expected):.2g}, which is {np.ptp(expected) / step:.1f} steps of its format: "
            "scale it up inside the model, or choose quantization='int16x8'"
        )


def _units(model, arrays, parts):
    """Recurrences with inputs too large for their activation, or units too unequal for one scale."""
    calls = observe(model, [array[:16] for array in arrays])
    found = []
    for recurrence, call in zip(parts.recurrences, calls, strict=False):
        z = np.concatenate(recurrence.cell.project(call.x), axis=-1)
        z = z.reshape(-1, z.shape[-1])
        reach = np.abs(z).max(axis=0)
        largest = np.abs(call.x).max()
        if reach.max() / 256 > _WIDE_STEP:
            found.append(
                f"the inputs of layer {recurrence.layer!r} reach {largest:.3g} and its pre-activation "
                f"{reach.max():.3g}: one step of 8 bits is more than tanh or sigmoid resolves; scale it to about 1"
            )
        middle = np.median(reach)
        if reach.max() > _UNEQUAL * max(middle, 1e-30):
            unit = int(reach.argmax()) % recurrence.cell.units  # gates stand side by side
            found.append(
                f"in layer {recurrence.layer!r} the input product of unit {unit} reaches "
                f"{reach.max():.3g}, while the median is {middle:.3g}, and all units share one scale: scale down its "
                "weights or inputs"
            )
    return found


def _weights(parts, options):
    """Weights of 4 bits, and units of which one scale for all leaves nothing."""
    if options.quantization != "int8x4":
        return
    for recurrence in parts.recurrences:
        for kind, matrix in recurrence.cell.matrices.items():
            largest = np.abs(matrix).max(axis=0)
            lost = int(np.sum((largest > 0) & (largest < options.scheme.weight_scales(matrix.T) / 2)))
            if lost:
                yield (
                    f"in layer {recurrence.layer!r} all 4-bit weights of {lost} units' {kind} are zero, because all "
                    f"units share one scale and unit {int(largest.argmax())} has far larger weights"
                )
    yield (
        "weights of 4 bits are coarse: fine-tune with kv.compression.quantize_aware(model, weight_bits=4), or choose "
        "quantization='int8'"
    )


def _span(detail):
    """Returns the range of real values of a tensor, from its entry in `Runner.details`."""
    return span(Quantization(*detail["quantization"]), detail["dtype"])
