"""From a trained Keras model to a `.tflite` file that has been loaded and run.

Needs the TensorFlow backend.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vrnn import _files
from keras_vrnn.tflite import lowering, rules, stitching, stock, streaming
from keras_vrnn.tflite.calibration import calibrate
from keras_vrnn.tflite.inputs import as_inputs, with_integer_tokens
from keras_vrnn.tflite.interception import is_vanilla_rnn, layers_of, observe
from keras_vrnn.tflite.partition import partition
from keras_vrnn.tflite.runtime import Runner

FORMS = ("sequence", "unrolled", "streaming")


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        path: the `.tflite` file.
        size: its size in bytes.
        form, quantization: as they were asked for.
        operators: TFLite operator -> how often the file holds it, loops included.
        signatures: signature -> {"inputs": names, "outputs": names}.
        scales: recurrence -> signal ("z", "r", "a", "h") -> `Quantization`; empty where signals are float32.
    """

    path: Path
    size: int
    form: str
    quantization: str
    operators: dict[str, int]
    signatures: dict[str, dict[str, list[str]]]
    scales: dict[str, dict[str, rules.Quantization]]

    def __str__(self):
        operators = ", ".join(f"{name} {count}" for name, count in self.operators.items())
        return f"{self.path}: {self.size:,} bytes, {self.form}, {self.quantization}; {operators}"


def export(model, path, *, form="sequence", quantization="int8", calibration_data=None, overwrite=False):
    """Writes a Keras model with vanilla RNN layers as a TFLite file for batch size 1.

    The layers around the recurrences go through the stock converter. Each recurrence becomes one WHILE loop,
    whose size does not depend on the number of time steps, or the steps themselves.

    Args:
        model: a built functional or Sequential Keras model on the TensorFlow backend, with layers `VanillaRNN` or
            `keras.layers.SimpleRNN` among any others. An undefined time dimension takes the length of
            `calibration_data`.
        path: the file to write.
        form: "sequence": one invoke takes a whole sequence, the recurrence is a loop. "unrolled": the same without
            a loop, for a runtime that has none; the file grows with the number of time steps. "streaming": one invoke
            takes one time step; the state of each recurrence is an input `…state_in` and an output `…state_out` of
            the same format, zero at the start.
        quantization: "float32". "float16": float16 weights, dequantized when the file is loaded. "dynamic": int8
            weights, float32 signals. "int8": full integer, int8 inputs and outputs (token ids stay int32), weights per
            output unit, tanh state at scale 1/128. "int16x8": full integer, int16 signals with int8 weights, tanh
            state at scale 1/32768.
        calibration_data: needed for "int8" and "int16x8": inputs the model will meet, e.g. `x_train[:200]`, with the
            batch axis first; a list or a dictionary by input name for several inputs. The scales are read off these.
            For "streaming" at any quantization it is the data on which stepping is compared with whole sequences.
        overwrite: replace `path` if it exists.

    Returns:
        An `ExportResult`.

    Raises:
        ValueError: an argument has a value that is not supported, or the model holds a layer that is not; the
            message names it and says what to do.
        FileExistsError, FileNotFoundError, PermissionError: `path` can't be written.

    A file is written only after the LiteRT interpreter has loaded and run it.
    """
    _one_of("form", form, FORMS)
    _one_of("quantization", quantization, tuple(rules.RULES))
    path = _files.check_writable(path, overwrite)
    _check_model(model)
    integer = issubclass(rules.RULES[quantization], rules.IntegerRules)
    if integer and calibration_data is None:
        raise ValueError(
            f"calibration_data: quantization={quantization!r} needs inputs to read the scales off; pass some that the "
            "model will meet, e.g. calibration_data=x_train[:200], or choose quantization='float32'."
        )
    model = with_integer_tokens(model)
    arrays = (
        _example(model)
        if calibration_data is None
        else as_inputs(model, calibration_data, "calibration_data")
    )
    parts = _partition(model, form, arrays)
    for recurrence in parts.recurrences:
        if recurrence.activation not in lowering.ACTIVATIONS:
            raise ValueError(
                f"model: layer {recurrence.name!r} has activation {recurrence.activation!r}; "
                f"the recurrence can be exported with {', '.join(lowering.ACTIVATIONS)}."
            )
    if integer:
        samples, rules_of, unread = _calibrated(model, form, quantization, parts, arrays)
    else:
        samples, rules_of, unread = None, {r.name: rules.RULES[quantization]() for r in parts.recurrences}, {}
    converted = stock.convert(parts.stock, quantization, samples) if parts.stock else None
    content = stitching.stitch(parts, converted, rules_of, unread, unrolled=form != "sequence")

    packed = content.pack()
    with _files.replacing(path) as temporary:
        temporary.write_bytes(packed)
        runner = Runner(temporary)
        runner({name: np.zeros(parts.inputs[name].shape) for name in runner.inputs})
    return ExportResult(
        path=path,
        size=len(packed),
        form=form,
        quantization=quantization,
        operators=_count_operators(content),
        signatures={stitching.SIGNATURE: {"inputs": list(parts.inputs), "outputs": list(parts.outputs)}},
        scales={name: rule.signals for name, rule in rules_of.items() if rule.signals},
    )


def _partition(model, form, arrays):
    """Returns the `Partition` of a model in one of the forms."""
    if form == "streaming":
        model = streaming.one_step(model, [array[:4] for array in arrays])
        arrays = [array[:, :1] for array in arrays]
    specs = {
        tensor.name: tf.TensorSpec((1, *array.shape[1:]), tensor.dtype, name=tensor.name)
        for tensor, array in zip(model.inputs, arrays, strict=True)
    }
    parts = partition(model, specs, observe(model, [array[:1] for array in arrays]))
    return streaming.with_states(parts) if form == "streaming" else parts


def _calibrated(model, form, quantization, parts, arrays):
    """Returns samples for the stock converter, recurrence name -> rules, and the formats of inputs it never sees."""
    measured = calibrate(model, arrays, parts.recurrences)
    kind = rules.RULES[quantization]
    rules_of = {
        recurrence.name: kind(recurrence.activation, ranges)
        for recurrence, ranges in zip(parts.recurrences, measured.ranges, strict=True)
    }
    values = dict(zip(parts.inputs, arrays, strict=False)) | measured.values
    if form == "streaming":  # every step of every sample is a sample
        values = {name: value.reshape(-1, 1, *value.shape[2:]) for name, value in values.items()}
    for recurrence, states in zip(parts.recurrences, measured.states, strict=True):
        if form == "streaming":
            steps = states.reshape(-1, 1, recurrence.units)
            values |= {recurrence.sequence: steps, recurrence.final: steps[:, 0]}
    for recurrence, ranges in zip(parts.recurrences, measured.ranges, strict=True):
        span = kind.state_range(recurrence.activation, ranges["h"])
        for name in (recurrence.sequence, recurrence.final):
            if name is not None:
                values[name] = _pinned(values[name], *span)

    def samples():
        for n in range(len(next(iter(values.values())))):
            yield [values[name][n : n + 1] for name in parts.stock_inputs]

    unread = {
        name: kind.format(values[name].min(), values[name].max())
        for name in parts.inputs
        if name in values and name not in parts.stock_inputs and values[name].dtype.kind == "f"
    }
    states_in = {
        r.initial_state: rules_of[r.name].signal("h")
        for r in parts.recurrences
        if r.initial_state in parts.inputs
    }
    return samples, rules_of, unread | (states_in if form == "streaming" else {})


def _pinned(array, low, high):
    """Makes the calibrated range of an array exactly [low, high], so that the stock part gets the state's own scale.

    Two elements of the whole calibration set are changed for it.
    """
    array = np.clip(array, low, high)
    array.flat[0], array.flat[-1] = low, high
    return array


def _check_model(model):
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ValueError(
            f"model: expected a built functional or Sequential Keras model, received {type(model).__name__} "
            "without inputs. Start a Sequential model with keras.Input, or wrap the layers in a functional model."
        )
    recurrent = [layer for layer in layers_of(model) if is_vanilla_rnn(layer)]
    if not recurrent:
        raise ValueError(
            "model: it holds no VanillaRNN or SimpleRNN layer; the stock tf.lite.TFLiteConverter exports it."
        )
    for layer in recurrent:
        if layer.stateful:
            raise ValueError(
                f"model: layer {layer.name!r} is stateful, but form='sequence' starts every sequence at zero; "
                "rebuild the model with stateful=False and copy the weights."
            )
    for layer in layers_of(model):
        if layer.compute_dtype not in ("float32", "int32"):
            raise ValueError(
                f"model: layer {layer.name!r} computes in {layer.compute_dtype}; only float32 models can be "
                "exported. Rebuild the model with dtype='float32' and copy the weights."
            )


def _example(model):
    """A few random samples, for exports that need no calibration data; 0 and 1 are tokens of any vocabulary."""
    rng = np.random.default_rng(0)
    arrays = []
    for tensor in model.inputs:
        if None in tensor.shape[1:]:
            raise ValueError(
                f"model: input {tensor.name!r} has the undefined shape {tuple(tensor.shape)}; give keras.Input a "
                "fixed number of time steps, or pass calibration_data of the length to export."
            )
        shape = (4, *tensor.shape[1:])
        floating = "float" in tensor.dtype
        arrays.append(
            (rng.normal(size=shape) if floating else rng.integers(0, 2, shape)).astype(tensor.dtype)
        )
    return arrays


def _one_of(argument, value, choices):
    if value not in choices:
        raise ValueError(f"{argument}={value!r}: expected one of {', '.join(map(repr, choices))}.")


def _count_operators(file):
    names = (
        file.operator_name(operator) for subgraph in file.model.subgraphs for operator in subgraph.operators
    )
    return dict(sorted(Counter(names).items()))
