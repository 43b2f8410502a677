"""From a trained Keras model to a `.tflite` file that has been loaded and run.

Needs the TensorFlow backend.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vrnn import _files
from keras_vrnn.tflite import lowering, rules, stitching, stock
from keras_vrnn.tflite.calibration import calibrate
from keras_vrnn.tflite.inputs import as_inputs, with_integer_tokens
from keras_vrnn.tflite.interception import is_vanilla_rnn, layers_of, observe
from keras_vrnn.tflite.partition import partition
from keras_vrnn.tflite.runtime import Runner

FORMS = ("sequence",)
QUANTIZATIONS = ("float32", "int8")


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        path: the `.tflite` file.
        size: its size in bytes.
        form: "sequence".
        quantization: "float32" or "int8".
        operators: TFLite operator -> how often the file holds it, loops included.
        signatures: signature -> {"inputs": names, "outputs": names}.
        scales: recurrence -> signal ("z", "r", "a", "h") -> `Quantization`; empty for float32.
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

    The layers around the recurrences go through the stock converter. Each recurrence becomes one WHILE loop
    of integer operators, whose size does not depend on the number of time steps.

    Args:
        model: a built functional or Sequential Keras model on the TensorFlow backend, with layers `VanillaRNN` or
            `keras.layers.SimpleRNN` among any others. An undefined time dimension takes the length of
            `calibration_data`.
        path: the file to write.
        form: "sequence": one invoke takes a whole sequence.
        quantization: "float32", or "int8": full integer, int8 inputs and outputs (token ids stay int32),
            weights per output channel, tanh state at scale 1/128.
        calibration_data: needed for "int8": inputs the model will meet, e.g. `x_train[:200]`, with the batch axis
            first; a list or a dictionary by input name for several inputs. The scales are read off these.
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
    _one_of("quantization", quantization, QUANTIZATIONS)
    path = _files.check_writable(path, overwrite)
    _check_model(model)
    if quantization == "int8" and calibration_data is None:
        raise ValueError(
            "calibration_data: quantization='int8' needs inputs to read the scales off; pass some that the model "
            "will meet, e.g. calibration_data=x_train[:200], or choose quantization='float32'."
        )
    model = with_integer_tokens(model)
    arrays = None if calibration_data is None else as_inputs(model, calibration_data, "calibration_data")
    specs = _input_specs(model, arrays)
    if arrays is None:
        arrays = [np.zeros(spec.shape, spec.dtype.as_numpy_dtype) for spec in specs.values()]

    parts = partition(model, specs, observe(model, [array[:1] for array in arrays]))
    for recurrence in parts.recurrences:
        if recurrence.activation not in lowering.ACTIVATIONS:
            raise ValueError(
                f"model: layer {recurrence.name!r} has activation {recurrence.activation!r}; "
                f"the recurrence can be exported with {', '.join(lowering.ACTIVATIONS)}."
            )
    if quantization == "int8":
        content, rules_of = _to_int8(model, parts, arrays)
    else:
        content = stock.convert(parts.stock) if parts.stock else None
        rules_of = {recurrence.name: rules.FloatRules() for recurrence in parts.recurrences}
        content = stitching.stitch(parts, content, rules_of, {})

    packed = content.pack()
    with _files.replacing(path) as temporary:
        temporary.write_bytes(packed)
        Runner(temporary)(dict(zip(specs, (array[:1] for array in arrays), strict=True)))
    return ExportResult(
        path=path,
        size=len(packed),
        form=form,
        quantization=quantization,
        operators=_count_operators(content),
        signatures={stitching.SIGNATURE: {"inputs": list(parts.inputs), "outputs": list(parts.outputs)}},
        scales={name: rule.signals for name, rule in rules_of.items() if rule.signals},
    )


def _to_int8(model, parts, arrays):
    """Calibrates, converts and stitches; returns the model file and recurrence name -> rules."""
    made, ranges = calibrate(model, arrays, parts.recurrences)
    rules_of = {
        recurrence.name: rules.Int8Rules(recurrence.activation, measured)
        for recurrence, measured in zip(parts.recurrences, ranges, strict=True)
    }
    for recurrence, measured in zip(parts.recurrences, ranges, strict=True):
        span = rules.state_range(recurrence.activation, measured["h"])
        for name in (recurrence.sequence, recurrence.final):
            if name is not None:
                made[name] = _pinned(made[name], *span)
    values = made | dict(zip(parts.inputs, arrays, strict=True))

    def samples():
        for n in range(len(arrays[0])):
            yield [values[name][n : n + 1] for name in parts.stock_inputs]

    unread = {
        name: rules.affine_int8(values[name].min(), values[name].max())
        for name, spec in parts.inputs.items()
        if name not in parts.stock_inputs and spec.dtype.is_floating
    }
    content = stock.convert(parts.stock, samples) if parts.stock else None
    return stitching.stitch(parts, content, rules_of, unread), rules_of


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


def _input_specs(model, arrays):
    specs = {}
    for k, tensor in enumerate(model.inputs):
        shape = [1, *tensor.shape[1:]] if arrays is None else [1, *arrays[k].shape[1:]]
        if None in shape:
            raise ValueError(
                f"model: input {tensor.name!r} has the undefined shape {tuple(tensor.shape)}; give keras.Input a "
                "fixed number of time steps, or pass calibration_data of the length to export."
            )
        specs[tensor.name] = tf.TensorSpec(shape, tensor.dtype, name=tensor.name)
    return specs


def _one_of(argument, value, choices):
    if value not in choices:
        raise ValueError(f"{argument}={value!r}: expected one of {', '.join(map(repr, choices))}.")


def _count_operators(file):
    names = (
        file.operator_name(operator) for subgraph in file.model.subgraphs for operator in subgraph.operators
    )
    return dict(sorted(Counter(names).items()))
