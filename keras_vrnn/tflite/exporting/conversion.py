"""Writes a trained Keras model as one `.tflite` file, after LiteRT has loaded and run it.

Needs the TensorFlow backend.
"""

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vrnn import _checks as checks
from keras_vrnn import _files
from keras_vrnn import _progress as progress
from keras_vrnn._shown import Shown
from keras_vrnn.compression.quantized import signals
from keras_vrnn.models import structure
from keras_vrnn.models.input_arrays import as_inputs
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite import describing
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.exporting import four_bit, saturation, stated_ranges, stock, trained
from keras_vrnn.tflite.exporting.capture import lengths, reserved_names, sampling, streaming
from keras_vrnn.tflite.exporting.capture.observation import observe
from keras_vrnn.tflite.exporting.capture.partition import partition
from keras_vrnn.tflite.exporting.capture.preparation import prepared
from keras_vrnn.tflite.exporting.capture.rebuilding import check_same
from keras_vrnn.tflite.exporting.check import check, check_integers
from keras_vrnn.tflite.exporting.recurrences.base import Formats
from keras_vrnn.tflite.exporting.writing import scales, stitching
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

_NOTABLE = 0.01  # share of saturated values


@dataclass(frozen=True, repr=False)
class ExportResult(Shown):
    """The result of an export.

    Attributes:
        path: The `.tflite` file.
        size: Its size in bytes.
        form, quantization: The arguments of the export.
        operators: TFLite operator -> how often it occurs in the file, including loops.
        signatures: Signature -> {"inputs": names, "outputs": names}.
        scales: Recurrence -> signal ("z", "r", "a", "h") -> `Quantization`; empty where signals are float32.
        errors: Output -> how far it is from Keras, relative to its range with zero: the largest error of a float32
            file, otherwise the mean error of the output's worst unit.
        saturation: Recurrence -> signal ("a", the argument of the activation function, and "h") -> the share (0 to 1)
            of its values that lie beyond its format and get clipped, on up to 16 samples of the data; empty where
            signals are float32. A quantization-aware model without data is measured on random inputs in its ranges.
    """

    path: Path
    size: int
    form: str
    quantization: str
    operators: dict[str, int]
    signatures: dict[str, dict[str, list[str]]]
    scales: dict[str, dict[str, Quantization]]
    errors: dict[str, float]
    saturation: dict[str, dict[str, float]]

    def __str__(self) -> str:
        operators = ", ".join(f"{name} {count}" for name, count in self.operators.items())
        errors = ", ".join(f"{name} {error:.2g}" for name, error in self.errors.items())
        lines = [
            f"{self.path}: {self.size:,} bytes, {self.form}, {self.quantization}",
            f"operators  {operators}",
            f"error      {errors}, relative to the range of the output",
        ]
        for name, shares in self.saturation.items():
            found = ", ".join(
                f"{signal} {share:.0%}" for signal, share in shares.items() if share >= _NOTABLE
            )
            lines += [f"saturated  {found}, in {name}"] if found else []
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as a dictionary for JSON."""
        scales = {
            name: {
                signal: {
                    "scale": np.asarray(q.scale).tolist(),
                    "zero_point": np.asarray(q.zero_point).tolist(),
                }
                for signal, q in signals.items()
            }
            for name, signals in self.scales.items()
        }
        return vars(self) | {"path": str(self.path), "scales": scales}

    def to_json(self) -> str:
        """Returns everything as JSON text."""
        return json.dumps(self.to_dict(), indent=2, default=float)


def to_file(model, path, options, calibration_data, overwrite, states=None, card=None) -> ExportResult:
    """Exports a model that becomes one file; see `kv.tflite.export` for the arguments.

    Args:
        states: Input in which a state of a recurrence starts -> output that is its last value. The file takes and
            leaves them in the format in which the recurrence keeps them, so that invokes follow one another without
            loss.
        card: A `Card`, or None.
    """
    path = _files.check_writable(path, overwrite)
    original, model = model, prepared(model)
    reserved_names.check_names(model, options)
    lengths.check(model, options)
    if card is not None:
        _check_card(card, model)
    scheme = trained.scheme_of(model)
    if options.integer and calibration_data is None and scheme is None:
        raise ValueError(
            f"`calibration_data` must be given with quantization={options.quantization!r}, whose scales are measured "
            "on it. Received: calibration_data=None. Pass inputs that the model will meet, such as x_train[:200], or "
            "choose quantization='float32'."
        )
    arrays = (
        _example(model, options.length)
        if calibration_data is None
        else as_inputs(model, calibration_data, "calibration_data")
    )
    progress.stage("reading the model")
    if model is not original:
        check_same(original, model, arrays)
    data, arrays = arrays, lengths.of_length(model, arrays, options.length)
    if options.chunk > 1:
        arrays = lengths.whole_chunks(model, arrays, options.chunk)
    parts, learned = _partition(model, options, arrays)
    if states is not None:
        parts = streaming.with_own_states(parts, states)
    for recurrence in parts.recurrences:
        recurrence.cell.check(recurrence.layer, options.scheme)
    samples = reference = None
    if learned is not None:
        formats_of, value_formats = learned.formats_of(parts.recurrences), learned.value_formats(parts)
    elif options.integer:
        progress.stage("measuring scales")
        samples, formats_of, value_formats = sampling.calibrated(model, options, parts, data)
        if parts.stock and (parts.timed or options.chunk > 1):
            reference = _reference(model, options, data)
    else:
        value_formats = {}
        formats_of = {r.name: Formats(options.scheme) for r in parts.recurrences}
    progress.stage("converting")
    converted = _converted(parts.stock, options, samples, learned, reference) if parts.stock else None
    content, signatures = stitching.stitch(parts, converted, formats_of, value_formats, options)

    packed = content.pack()
    if card is not None:
        packed = describing.attached(packed, describing.fitted(content.model, card))
    with _files.replacing(path) as temporary:
        temporary.write_bytes(packed)
        progress.stage("comparing with Keras")
        errors = check(temporary, original, model, arrays, parts, options)
        if learned is not None:
            check_integers(temporary, model, arrays, parts, value_formats, options)
    return ExportResult(
        path=path,
        size=len(packed),
        form=options.form,
        quantization=options.quantization,
        operators=_count_operators(content),
        signatures=signatures,
        scales={name: formats.signals for name, formats in formats_of.items() if formats.signals},
        errors=errors,
        saturation=saturation.measure(model, data, parts.recurrences, formats_of, options.scheme.dtype)
        if options.integer
        else {},
    )


def _check_card(card, model):
    """Raises unless a card fits the inputs and outputs of a model."""
    if not isinstance(card, Card):
        raise checks.refused("card", "be a kv.tflite.Card or None", card)
    names = structure.input_names(model)
    ends = {
        "inputs": (names, model.inputs),
        "outputs": (structure.output_names(model, structure.output_structure(model), names), model.outputs),
    }
    card.fitted(
        **{
            end: {name: (1, *tensor.shape[1:])[-1] for name, tensor in zip(listed, tensors, strict=True)}
            for end, (listed, tensors) in ends.items()
        }
    )


def _reference(model, options, data):
    """Returns the stock part for the number of time steps that the data has, or for one, as a `ModelFile`."""
    options = dataclasses.replace(options, timesteps="data", max_timesteps=None, chunk=1)
    parts, _ = _partition(model, options, data)
    samples, _, _ = sampling.calibrated(model, options, parts, data)
    return ModelFile(stock.convert(parts.stock, options.quantization, samples))


def _converted(function, options, samples, learned, reference):
    """Returns the stock part as a `ModelFile`, with the formats of `reference` if there is one."""
    if learned is not None:
        file = ModelFile(stated_ranges.convert(function, learned.quantizer, learned.weights()))
        if options.quantization == "int8x4":
            four_bit.pack(file)
        return file
    file = ModelFile(stock.convert(function, options.quantization, samples))
    if reference is not None:
        scales.adopt(file.main, reference.main)
    if options.quantization == "int8x4":
        four_bit.requantize(file, stock.convert(function, "float32"), options.scheme, samples)
    return file


def _partition(model, options, arrays):
    """Returns the `Partition` of a model in one of the forms, and of a quantization-aware model its `Trained`."""
    sample = [array[:1] for array in arrays]
    calls, learned = _observed(model, sample)
    if options.streaming:
        model = streaming.in_chunks(model, [array[:4] for array in arrays], options.chunk)
        arrays = [lengths.windows_of(array, options.chunk) for array in arrays]
        sample = [array[:1] for array in arrays]
        whole = calls
        calls, learned = _observed(model, sample)
        if [call.layer for call in whole] != [
            call.layer for call in calls
        ]:  # calibration pairs them by order
            raise ValueError(
                "model: for one time step, Keras calls its recurrences in another order than for a whole sequence, so "
                "that it can't be exported with form='streaming'; use form='sequence'."
            )
    specs = {
        name: tf.TensorSpec((options.batch_size, *array.shape[1:]), tensor.dtype)
        for name, tensor, array in zip(structure.input_names(model), model.inputs, arrays, strict=True)
    }
    parts = partition(model, specs, calls, options.quantization, learned)
    if options.streaming:
        parts = streaming.with_states(parts)
    elif options.timesteps != "data":
        parts = lengths.with_open_length(parts, model, arrays)
    return parts, learned


def _observed(model, sample):
    scheme = trained.scheme_of(model)
    if scheme is None:
        return observe(model, sample), None
    with signals.noting() as notes:
        calls = observe(model, sample)
    return calls, trained.Trained(scheme, notes)


def _example(model, length):
    """Returns a few random samples, for exports without calibration data; 0 and 1 are tokens of any vocabulary."""
    rng = np.random.default_rng(0)
    ranges = trained.input_ranges(model)
    arrays = []
    for tensor in model.inputs:
        own = tuple(length if n is None and axis == 0 else n for axis, n in enumerate(tensor.shape[1:]))
        if None in own:
            raise ValueError(
                f"`model` must have inputs of a defined shape. Received: input {tensor.name!r} of shape "
                f"{tuple(tensor.shape)}. Give keras.Input a fixed number of time steps, or pass calibration_data of "
                "the length to export, or `timesteps` (with timesteps=None `max_timesteps`)."
            )
        shape = (4, *own)
        floating = "float" in tensor.dtype
        if tensor.name in ranges:
            low, high = ranges[tensor.name]
            drawn: np.ndarray = rng.uniform(low, high, shape)
        else:
            drawn = rng.normal(size=shape) if floating else rng.integers(0, 2, shape)
        arrays.append(drawn.astype(tensor.dtype))
    return arrays


def _count_operators(file):
    names = (
        file.operator_name(operator) for subgraph in file.model.subgraphs for operator in subgraph.operators
    )
    return dict(sorted(Counter(names).items()))
