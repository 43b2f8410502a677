"""Quantizes the part of a model around its recurrences with formats that are stated instead of calibrated.

    traced function with marks ──► float file ──► ranges beside its tensors ──► the converter's quantizer ──► integers

A quantization-aware model has learned the format of every signal. The traced function marks each signal with its
format, and the file gets exactly these formats. A mark also keeps the converter from merging what comes before it with
what comes after it.

Needs the TensorFlow backend.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn import _keras_private
from keras_vrnn import _native_log as native_log
from keras_vrnn._checks import message
from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting import stock
from keras_vrnn.tflite.exporting.capture.partition import operations_behind
from keras_vrnn.tflite.exporting.writing import marks, reshapes, stated, unused
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

_QUANTIZERS = {"int8": _keras_private.quantized_int8, "int16x8": _keras_private.quantized_int16}
_LEAST_RANGE = 2e-6  # the converter widens marks whose ends are closer than 1e-6


@dataclass(frozen=True)
class Weights:
    """The weights of a layer and their scale.

    Attributes:
        name: For messages, such as "dense/kernel".
        values: The float weights as the traced function reads them, in the layout of Keras.
        scale: Their scale, or one per output channel.
    """

    name: str
    values: np.ndarray
    scale: float | np.ndarray


def mark(tensor, stated: Quantization, quantization: str):
    """Returns a tensor of a traced function, marked as one that the file holds in a format.

    Args:
        tensor: A float tensor that depends on an input of the function: an input, a signal or an output.
        stated: Its format, with a scale of at most 16 mantissa bits at int8 and 9 at int16, so that the ends of its
            range are exact in float32.
        quantization: "int8" or "int16x8".

    Raises:
        ValueError: The ends of the range are not exact, or so close together that the converter would move them.
    """
    dtype = SCHEMES[quantization].dtype
    low, high = span(stated, dtype)
    if not high - low >= _LEAST_RANGE:
        raise ValueError(
            message(
                "model",
                f"have signals with a range of at least {_LEAST_RANGE:g} around its recurrences",
                f"the range from {low:.3g} to {high:.3g} of {tensor.name!r}",
                "Scale the data or the weights towards 1.",
            )
        )
    if (float(np.float32(low)), float(np.float32(high))) != (low, high):
        raise ValueError(
            message(
                "stated",
                "have a range whose ends are exact in float32",
                f"{stated}, from {low!r} to {high!r}",
            )
        )
    bits = dtype.itemsize * 8
    return tf.quantization.fake_quant_with_min_max_args(tensor, low, high, bits, narrow_range=bits == 16)


def convert(concrete, quantization: str, weights: Sequence[Weights] = ()) -> bytes:
    """Converts a traced function with marks to integers, without calibration data.

    Args:
        concrete: The tf ConcreteFunction, with inputs of static shape. All its float inputs, and every result of an
            operator that rescales, are marked. Constant operands of such operators get the format of their own range.
        quantization: "int8" or "int16x8".
        weights: The scales of weights. The converter chooses the scales of weights that are not stated here: their
            largest value gets 127 steps, per output channel, or per matrix for the dense layers of int16x8. It chooses
            larger scales where a bias would not fit, and none below 4e-9 at int8. The table of an embedding is stated
            here for int16x8 only; at int8 it has the format of its marked result.

    Returns:
        The bytes of the `.tflite` file, with the inputs and outputs in the order of the function's, as from
        `stock.convert`.

    Raises:
        ValueError: A tensor of the file has no stated format, or two; a constant is marked; stated weights are not in
            the file; or the converter cannot write an operator with integers.
    """
    _refuse_marked_constants(concrete)
    stock.refuse_loops(concrete, quantization)
    scheme = SCHEMES[quantization]
    floats = ModelFile(stock.convert(concrete, "float32"))
    formats = marks.spread(floats.main, scheme, marks.taken(floats.main))
    reshapes.fold(floats.main)
    unused.remove_operator_codes(floats)  # the int16 quantizer refuses those of the marks
    stated.number(floats.main)
    _state(floats.main, formats, scheme)
    log = []
    try:
        with native_log.kept() as log:
            content = _QUANTIZERS[quantization](_packed(floats))
    except Exception as error:  # the quantizers raise several kinds of their own
        raise stock.refusal(error, log, quantization) from error
    file = ModelFile(content)
    stated.restore(file.main, floats.main, formats, weights, scheme)
    return _packed(file)


def _refuse_marked_constants(concrete):
    """Raises ValueError if a mark depends on no input: the converter may compute it and leave no trace of the mark."""
    arguments = concrete.inputs[: len(concrete.inputs) - len(concrete.captured_inputs)]
    varying = {tensor.op for tensor in arguments}
    needed = operations_behind(concrete.outputs)
    for operation in concrete.graph.get_operations():  # in topological order
        if operation.name not in needed:
            continue
        if any(tensor.op in varying for tensor in operation.inputs):
            varying.add(operation)
        elif operation.type == "FakeQuantWithMinMaxArgs" and operation not in varying:
            raise ValueError(
                message(
                    "concrete",
                    "have marks only on tensors that depend on its inputs",
                    f"a mark on {operation.inputs[0].name!r}",
                    "Leave it out: a constant gets the format of its own range.",
                )
            )


def _state(main, formats, scheme):
    """Writes the ranges of the formats beside the tensors, where the quantizers look for them."""
    for index, tensor in enumerate(main.subgraph.tensors):
        array = main.data(index) if tensor.type == schema.TensorType.FLOAT32 else None
        if index in formats and array is None:
            low, high = span(formats[index], scheme.dtype)
        elif array is not None and array.size and scheme.dtype == np.int8:
            low, high = (
                float(array.min()),
                float(array.max()),
            )  # the int16 quantizer takes constants as they are
        else:
            continue
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.min, tensor.quantization.max = [low], [high]


def _packed(file):
    # Not `file.pack`, which stores equal scales once and does not look at ranges.
    builder = flatbuffers.Builder(1024)
    builder.Finish(file.model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
