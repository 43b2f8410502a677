"""The accuracy gate: compares a new file with the Keras model before the file gets its name.

The error of an output is relative to the output's range, which includes zero:

    float32                        max |file − Keras|                    refused beyond rounding
    float16, dynamic, integers     mean |file − Keras| of worst unit     warned of if large, refused beyond `max_error`

A file is not refused if rounding alone moves the outputs of the Keras model as far, as in a chaotic recurrence.

Needs the TensorFlow backend.
"""

import functools
import inspect
import warnings
from dataclasses import dataclass

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of, recurrences_replaced
from keras_vrnn.tflite.exporting import causes, length_check
from keras_vrnn.tflite.exporting.recurrences import exported_layers
from keras_vrnn.tflite.exporting.stateful import from_zero, is_stateful
from keras_vrnn.tflite.running.runner import Runner
from keras_vrnn.tflite.running.simulator import Simulator, refusal

_SAMPLES = 64
_STEPS = 8192  # of all samples together: a few seconds even if every step is one invoke
# The largest error of a float32 file. The activations of XNNPACK and TensorFlow differ by a few units in the last place
# (2⁻²³ = 1.2e-7), and they sum in different orders. Random models reach 3e-7.
_FLOAT32_ERROR = 1e-5
_FLOAT32_PRECISION = 2.0**-23
# Half a step of a number format, relative to the largest value. Files with int8 weights lose most by those.
_ROUNDING = {
    "float32": 2.0**-23,
    "float16": 2.0**-12,
    "dynamic": 2.0**-9,
    "int8": 2.0**-9,
    "int8x4": 2.0**-4,
    "int16x8": 2.0**-9,
}
# The noise of `_moved_by` enters at one place. A float file rounds each product, sum and activation of a step, and its
# activations are off by a few units in the last place.
_PLACES = 30
# An integer error is inherent in the model if noise alone moves Keras at least a third as far.
_AMPLIFIED = 3
# Above the worst errors of 27 random models of up to six recurrences: 0.0015, 0.015, 0.029, 0.050 and 0.012; but with
# 4-bit weights two of them reach 0.19 and 0.32. A value read with a wrong scale, order or mask gives 0.1 and more.
_WARN = {"float16": 0.003, "dynamic": 0.03, "int8": 0.04, "int8x4": 0.1, "int16x8": 0.03}
# The same error relative to how far the data spreads the output. Beyond this share the file can't tell samples apart.
_WARN_OF_SPREAD = 0.2
_SIMULATED = 4  # samples that are compared by the simulation, which is slow
# The steps by which their outputs may differ: of an activation that is a table, TensorFlow may compute a value on the
# edge between two integers in another order.
_INTEGER_STEPS = 3
# The precision of layers that compute in less than float32.
_PRECISIONS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


class AccuracyWarning(UserWarning):
    """An exported file differs from Keras by more than its number format should cost; the message names the cause."""


@dataclass(frozen=True)
class Deviation:
    """How far one output of a file is from Keras'.

    Attributes:
        largest: the largest absolute error, relative to the output's range including zero.
        mean: the mean absolute error of the worst unit, relative to the same range.
        of_spread: the same mean error, relative to how far the data spreads the output; 0 for a constant output.
    """

    largest: float
    mean: float
    of_spread: float


def check(path, original, model, arrays, parts, options):
    """Compares a file with Keras.

    Args:
        path: the file.
        original: the model that the user passed.
        model: the model that `preparation.prepared` made of it.
        arrays: the data, one array per input.
        parts: the `Partition` of the model in its form.
        options: the `Options` of the export.

    Returns:
        Output name -> its error as defined above.

    Raises:
        ValueError: the file does not run, or it differs from Keras by more than its number format explains.
    """
    runner = _runner(path, options)
    rows = _rows(arrays)
    few = [array[rows] for array in arrays]
    found = _compare(runner, original, model, few, arrays, parts, options)
    if options.any_length:
        for shorter in length_check.shorter(few, parts):
            length_check.check_filling(path, shorter, parts)
            _compare(runner, original, model, shorter, arrays, parts, options)
    exact = options.quantization == "float32"
    return {name: each.largest if exact else each.mean for name, each in found.items()}


def _compare(runner, original, model, few, arrays, parts, options):
    """Returns output name -> `Deviation`, after refusing or warning of a large one."""
    expected = _keras(original, few)
    actual = _file(runner, parts, few, expected, options)
    steps = [runner.details[name]["quantization"][0] for name in runner.outputs]
    found = {
        name: deviation(a, e, step)
        for name, a, e, step in zip(parts.outputs, actual, expected, steps, strict=True)
    }
    exact = options.quantization == "float32"
    for index, (name, each) in enumerate(found.items()):
        moved_by = functools.partial(_moved_by, original, few, index)
        if exact:
            _judge_float(name, each.largest, _float_limit(original), moved_by)
        else:
            find = functools.partial(
                causes.find, runner, name, expected[index], model, arrays, parts, options
            )
            _judge(name, each, options, np.isfinite(expected[index]).all(), moved_by, find)
    return found


def check_integers(path, model, arrays, parts, formats, options):
    """Compares a file, computed as TFLite Micro does, with the quantization-aware model that it was made of.

    Inputs are first moved to numbers that their formats represent: with io="float32" the file rounds halves away from
    zero and the model rounds them to even, which is a difference of one step that a recurrence may amplify.

    Args:
        path, arrays, parts, options: as in `check`.
        model: the model.
        formats: name of a float input -> the `Quantization` that the model reads it in.

    Raises:
        ValueError: an output differs by more than `_INTEGER_STEPS` steps of its scale.
    """
    if refusal(path):  # an operator that the simulation does not have
        return
    few = [
        _on_grid(array[:_SIMULATED], formats.get(name))
        for name, array in zip(parts.inputs, arrays, strict=True)
    ]
    expected = _keras(model, few)
    runner = Simulator(path)
    made = _file(runner, parts, few, expected, options)
    for name, a, e in zip(parts.outputs, made, expected, strict=True):
        scale = runner.details[name]["quantization"][0] or 1.0
        steps = float(np.max(np.abs(a.astype(np.float64) - e), initial=0.0) / scale)
        if steps > _INTEGER_STEPS:
            raise ValueError(
                f"model: output {name!r} of the file differs from the quantization-aware model by {steps:.0f} steps of "
                "its scale, so they do not compute the same integers; please report it with the model."
            )


def _on_grid(array, quantization):
    """Returns the nearest numbers, inside of the range or not, that a format represents; None leaves them alone."""
    if quantization is None:
        return array
    scale = np.float32(quantization.scale)
    return np.round(array / scale) * scale


def deviation(actual, expected, step=0.0):
    """Returns the `Deviation` of an output; `step` is its quantization step, 0 for floats."""
    expected = np.asarray(expected)
    if expected.dtype.kind != "f":  # classes or truth values: the share that differs
        differing = float(np.mean(actual != expected))
        return Deviation(differing, differing, 0.0)
    finite = np.isfinite(expected)
    alike = np.array_equal(np.where(finite, 0, expected), np.where(finite, 0, actual), equal_nan=True)
    if not alike or not np.isfinite(actual[finite]).all():
        return Deviation(np.inf, np.inf, np.inf)
    wide = np.where(finite, expected, 0.0).astype(np.float64)
    error = np.abs(np.where(finite, actual, 0.0) - wide)
    # An output that is always zero has no range. The file may be a few steps off, for example just above a ReLU's zero.
    reach = float(max(wide.max(), 0.0) - min(wide.min(), 0.0)) or 8 * step or _FLOAT32_PRECISION
    by_unit = error.reshape(-1, error.shape[-1] if error.ndim > 1 else 1)
    mean = float(by_unit.mean(axis=0).max())
    spread = float(np.ptp(wide))
    return Deviation(float(error.max()) / reach, mean / reach, mean / spread if spread else 0.0)


def _judge_float(name, error, limit, moved_by):
    """Refuses a float32 file if rounding does not explain the error of an output."""
    precision = limit / _FLOAT32_ERROR * _FLOAT32_PRECISION
    if error <= limit or error <= _PLACES * moved_by(precision).largest:
        return
    raise ValueError(
        f"model: exported with quantization='float32', output {name!r} differs from Keras by {error:.2g} of its range, "
        f"but rounding explains only {limit:.2g}. Some layer computes something else in the file than in Keras. Please "
        "report it with the model; exporting parts of the model shows which layer it is."
    )


def _judge(name, found, options, finite, moved_by, find_causes):
    """Warns of a large error of an output, or refuses the file.

    Args:
        name: the output.
        found: its `Deviation`.
        options: the `Options` of the export.
        finite: whether Keras' output is finite.
        moved_by: the function relative size of noise -> `Deviation` of Keras from itself.
        find_causes: the function that returns the likely causes.
    """
    if found.mean <= _WARN[options.quantization] and found.of_spread <= _WARN_OF_SPREAD:
        return
    if not finite and options.integer:
        raise ValueError(
            f"model: output {name!r} is NaN or infinite for some of calibration_data; integers can't represent that. "
            "Check the weights and the data, or choose quantization='float32'."
        )
    amplified = _AMPLIFIED * moved_by(_ROUNDING[options.quantization]).mean >= found.mean
    likely = find_causes()
    if amplified:
        likely.append(
            "the model amplifies rounding: noise of half a step at its recurrences moves Keras as far"
        )
    text = (
        f"output {name!r} differs from Keras by {found.mean:.2g} of its range on "
        f"{'calibration_data' if options.integer else 'the data'} (mean error of its worst unit; "
        f"{found.of_spread:.2g} of the range that this data spans). "
        f"Likely cause: {'; '.join(likely or [causes.UNKNOWN])}."
    )
    if found.mean > options.max_error and not amplified:
        raise ValueError(
            f"max_error={options.max_error!r}: with quantization={options.quantization!r} {text} "
            "To write the file anyway, pass a larger max_error."
        )
    warnings.warn(text, AccuracyWarning, stacklevel=_levels_to_the_caller())


def _levels_to_the_caller():
    """Returns the stack level of the code that called this package, so that the warning shows the user's line."""
    frame, levels = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "keras_vrnn":
        frame, levels = frame.f_back, levels + 1
    return levels


def _float_limit(model):
    """Returns the largest error that rounding explains, in the file or in layers with mixed precision."""
    used = {getattr(layer, "compute_dtype", None) for layer in layers_of(model)}
    precision = max([_PRECISIONS[dtype] for dtype in used & set(_PRECISIONS)], default=_FLOAT32_PRECISION)
    return _FLOAT32_ERROR * precision / _FLOAT32_PRECISION


def _moved_by(model, arrays, index, rounding):
    """Returns how far noise of the relative size `rounding` at the recurrences' inputs moves an output of Keras."""
    rng = np.random.default_rng(0)

    def noisy(layer, loop, sequences, initial_state, mask):
        dtype = keras.backend.standardize_dtype(sequences.dtype)
        size = rounding * np.abs(keras.ops.convert_to_numpy(sequences)).max(initial=0.0)
        noise = rng.uniform(-size, size, sequences.shape)
        return loop(sequences + keras.ops.convert_to_tensor(noise, dtype), initial_state, mask)

    expected = _keras(model, arrays)[index]
    with recurrences_replaced(exported_layers(model), noisy), np.errstate(all="ignore"):
        return deviation(_keras(model, arrays)[index], expected)


def _runner(path, options):
    try:
        return Runner(path)
    except ValueError as error:
        reason = error.__cause__ or error
        raise ValueError(
            f"model: LiteRT can't run it with quantization={options.quantization!r}: {reason}. The cause is an "
            "operator of the layers around the recurrence, or scales too far apart; choose another quantization, "
            "replace the layer, or scale the data."
        ) from error


def _rows(arrays):
    """Returns the row numbers of the samples to compare, spread evenly over the data."""
    count = len(arrays[0])
    timesteps = max((array.shape[1] for array in arrays if array.ndim > 1), default=1)
    kept = min(count, _SAMPLES, max(1, _STEPS // timesteps))
    return np.linspace(0, count - 1, kept).round().astype(int)


def _file(runner, parts, arrays, expected, options):
    """Returns the file's outputs in the shapes of Keras' outputs."""
    try:
        made = runner(dict(zip(parts.inputs, arrays, strict=True)))
    except ValueError as error:
        raise ValueError(
            f"model: LiteRT can't run it with quantization={options.quantization!r} ({error}); choose another "
            "quantization, or replace the layer."
        ) from error
    made = list(made.values()) if isinstance(made, dict) else [made]
    if options.streaming:  # what Keras gives once per sequence is compared at the last step
        made = [a if a.ndim == e.ndim else a[:, -1] for a, e in zip(made, expected, strict=True)]
    shapes = [[array.shape for array in outputs] for outputs in (made, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"model: the file gives outputs of the shapes {shapes[0]}, Keras {shapes[1]}; please report it."
        )
    return made


def _keras(model, arrays):
    """Returns the outputs of a Keras model that starts from zero states; stateful layers keep the state they have."""
    size = (model.inputs[0].shape[0] if is_stateful(model) else None) or len(arrays[0])
    sequential = isinstance(model, keras.Sequential)  # its `input` is there only once it has been called
    pieces = []
    with from_zero(model) as reset:
        for start in range(0, len(arrays[0]), size):
            rows = np.arange(start, start + size) % len(arrays[0])
            reset()
            inputs = [array[rows] for array in arrays]
            inputs = inputs[0] if sequential else keras.tree.pack_sequence_as(model.input, inputs)
            made = keras.tree.flatten(model(inputs, training=False))
            pieces.append([keras.ops.convert_to_numpy(output) for output in made])
    outputs = [np.concatenate(parts)[: len(arrays[0])] for parts in zip(*pieces, strict=True)]
    return [o.astype(np.float32) if o.dtype.kind not in "iub" else o for o in outputs]
