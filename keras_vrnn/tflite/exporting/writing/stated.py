"""Sets an integer file back to the stated formats, and writes its constants in them.

The quantizers give an operand of CONCATENATION or MAXIMUM the format of the result, also where other operators read it,
and choose scales of constants by rules of their own.
"""

import numpy as np

from keras_vrnn._checks import message
from keras_vrnn.quantization.formats import INT8_MAX, Quantization, limits
from keras_vrnn.tflite import reading
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.marks import layer_of
from keras_vrnn.tflite.exporting.writing.scales import PICKERS, same

# Operator -> the axis of its weights along which the output channels lie.
_WEIGHTS_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_ONE_FORMAT = PICKERS | {"CONCATENATION": None}
# Operators that read the scale of each operand, so that a constant may have any.
_ELEMENTWISE = {"ADD", "DIV", "MUL", "SUB", "SQUARED_DIFFERENCE"}
_COMPARISONS = {"EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"}


def name_apart(main):
    """Gives the tensors different names, by which they are found again in the quantized file."""
    taken = set()
    for index, tensor in enumerate(main.subgraph.tensors):
        name = reading.text(tensor.name)
        tensor.name = f"{name}/{index}" if name in taken or not name else name
        taken.add(tensor.name)


def restore(main, floats, formats, weights, scheme):
    """Gives the tensors of a quantized file their stated formats.

    Args:
        main: The main `Graph` of the quantized file.
        floats: The main `Graph` of the float file that it was made from.
        formats: Tensor of the float file -> `Quantization`.
        weights: The stated `Weights`.
        scheme: The quantization scheme.

    Raises:
        ValueError: An operator stayed in floats, or stated weights are not in the file.
    """
    names = {reading.text(tensor.name): index for index, tensor in enumerate(floats.subgraph.tensors)}
    original = {
        index: names[name]
        for index, tensor in enumerate(main.subgraph.tensors)
        if (name := reading.text(tensor.name)) in names
    }
    _refuse_floats(main)
    for index, source in original.items():
        if source in formats and main.data(index) is None:
            main.declare(index, formats[source])
    constants = {index: floats.data(source) for index, source in original.items()}
    stated = {index: formats[source] for index, source in original.items() if source in formats}
    found: set[str] = set()
    for operator in list(main.subgraph.operators):
        name = main.file.operator_name(operator)
        if name in _WEIGHTS_AXIS:
            found |= _write_weights(main, operator, constants, weights, scheme)
        elif name == "GATHER":
            _write_table(main, operator, constants, scheme)
        elif name in _ELEMENTWISE | _COMPARISONS:
            _write_operands(main, operator, constants, stated, scheme)
        elif name in _ONE_FORMAT:
            _write_picked(main, operator, constants, _ONE_FORMAT[name])
    main.sort_operators()
    for lost in [entry.name for entry in weights if entry.name not in found]:
        raise ValueError(
            message(
                "model",
                "have weights that the TFLite converter writes as they are",
                f"the weights {lost!r}, which the file does not hold, because the converter has merged another layer "
                "into them or removed them",
                "State the weights that the file holds.",
            )
        )


def _refuse_floats(main):
    for operator in main.subgraph.operators:
        operator.inputs = reading.indices(operator.inputs)
        for index in map(int, operator.outputs):
            if main.dtype(index) == np.float32:
                name = main.file.operator_name(operator)
                if name == "DEQUANTIZE":
                    continue  # in front of the operator in question
                raise ValueError(
                    message(
                        "model",
                        "have layers around its recurrences that TFLite computes with integers",
                        f"the operator {name} in {layer_of(main, operator, index)!r}",
                        "Replace the layer.",
                    )
                )


def _write_weights(main, operator, constants, weights, scheme):
    """Writes stated weights, and the bias in the scale of the accumulator; returns the names of the weights."""
    axis = _WEIGHTS_AXIS[main.file.operator_name(operator)]
    x, matrix, *rest = operator.inputs
    array, found = constants.get(matrix), set()
    if array is None:
        return found
    for entry in weights:
        # Keras has the output channels last.
        if np.array_equal(
            np.ravel(np.moveaxis(array, axis, -1)), np.ravel(np.asarray(entry.values, np.float32))
        ):
            found.add(entry.name)
            matrix = _weights(main, matrix, array, entry, axis)
            operator.inputs = [x, matrix, *rest]
            break
    if rest and rest[0] >= 0:
        source = main.quantization(x).scale * np.float64(main.quantization(matrix).scale)
        bias = constants.get(rest[0])  # the quantizer adds zeros where a layer has none
        bias = np.zeros(main.shape(rest[0])) if bias is None else bias.astype(np.float64)
        dtype = main.dtype(rest[0])
        integers = np.round(bias / source)
        if np.abs(integers).max(initial=0.0) > np.iinfo(dtype).max // 2:
            raise _too_fine(main, operator, "bias")
        along = 0 if np.ndim(source) else None
        name = reading.text(main.subgraph.tensors[rest[0]].name)
        written = main.constant(name, integers.astype(dtype), Quantization(source, 0, along))
        operator.inputs = [x, matrix, written, *rest[1:]]
    return found


def _weights(main, index, array, entry, axis):
    scale = np.ravel(np.asarray(entry.scale, np.float64))
    shape = [1] * array.ndim
    shape[axis] = len(scale)
    integers = np.round(array / scale.reshape(shape))
    if np.abs(integers).max(initial=0.0) > INT8_MAX:
        raise ValueError(
            message(
                "model",
                f"have weights of at most {INT8_MAX} steps of their scale",
                f"the weights {entry.name!r} of up to {np.abs(integers).max():.0f} steps",
            )
        )
    name = reading.text(main.subgraph.tensors[index].name)
    quantization = Quantization(float(scale[0])) if len(scale) == 1 else Quantization(scale, 0, axis)
    return main.constant(name, integers.astype(np.int8), quantization)


def _write_table(main, operator, constants, scheme):
    """Writes the table of an embedding: in the format of the result, or as int8 weights where signals are int16."""
    table, result = operator.inputs[0], int(operator.outputs[0])
    array = constants.get(table)
    if main.data(table) is None or array is None:
        return
    quantization = main.quantization(result)
    if scheme.dtype == np.int16:  # which TFLite Micro can't gather
        quantization = Quantization(float(np.abs(array).max(initial=0.0)) / INT8_MAX or 1.0)
    written = _constant(main, table, array, quantization, np.int8)
    operator.inputs = [written, *operator.inputs[1:]]
    if scheme.dtype == np.int16:
        row = main.tensor("row", main.shape(result), np.int8, quantization)
        operator.outputs = [row]
        op.quantize_into(main, row, result)


def _write_operands(main, operator, constants, stated, scheme):
    """Writes constant operands in their stated format, or in that of their own range."""
    for k, index in enumerate(list(operator.inputs)):
        array = constants.get(index)
        if array is not None and main.data(index) is not None:
            quantization = stated.get(index) or scheme.format(float(array.min()), float(array.max()))
            operator.inputs[k] = _constant(main, index, array, quantization, scheme.dtype)


def _write_picked(main, operator, constants, positions):
    """Converts operands to the format of the result, where they have another one."""
    result = int(operator.outputs[0])
    target = main.quantization(result)
    if target is None:
        return
    for k, index in enumerate(list(operator.inputs)):
        if positions is not None and k not in positions:
            continue
        if main.data(index) is None:
            if not same(main.quantization(index), target):
                operator.inputs[k] = op.quantize(main, "part", index, target)
        elif constants.get(index) is not None:
            operator.inputs[k] = _constant(main, index, constants[index], target, main.dtype(result))


def _constant(main, index, array, quantization, dtype):
    integers = np.round(array.astype(np.float64) / quantization.scale) + quantization.zero_point
    name = reading.text(main.subgraph.tensors[index].name)
    return main.constant(name, np.clip(integers, *limits(dtype)).astype(dtype), quantization)


def _too_fine(main, operator, what):
    name = reading.text(main.subgraph.tensors[int(operator.outputs[0])].name)
    return ValueError(
        message(
            "model",
            "have biases that fit the integers of the file",
            f"the {what} of {name!r}, which is too large for the scales of its inputs and weights",
            "Make the scale of the weights larger, or the bias smaller.",
        )
    )
