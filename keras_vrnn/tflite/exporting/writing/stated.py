"""Sets an integer file back to the stated formats, and writes its constants in them.

The quantizers give an operand of CONCATENATION or MAXIMUM the format of the result, also where other operators read it,
and choose scales of constants by rules of their own.
"""

import re

import numpy as np

from keras_vrnn._checks import message
from keras_vrnn.quantization.formats import INT8_MAX, LEAST_SCALE, Quantization, limits
from keras_vrnn.tflite import reading
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.marks import layer_of
from keras_vrnn.tflite.exporting.writing.scales import PICKERS, same

# Operator -> the axis of its weights along which the output channels lie.
_WEIGHTS_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_ONE_FORMAT = PICKERS | {"CONCATENATION": None}
# Operators that read the scale of each operand, so that a constant may have any.
_ELEMENTWISE = {"ADD", "DIV", "MUL", "SUB", "SQUARED_DIFFERENCE"}
# The products need the rest of the accumulator: int32, or int64 sums that LiteRT assumes to be below 2⁴⁷.
_LARGEST_BIAS = {np.dtype("int32"): 2.0**30, np.dtype("int64"): 2.0**46}
# The number of a tensor in its name, with the digits of a copy behind it.
_NUMBERED, _NUMBER = re.compile(r"#(\d+)#(\d*)$"), re.compile(r"#\d+#\d*")
_COMPARISONS = {"EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"}


def number(main):
    """Appends its index to the name of each tensor, by which it is found again in the quantized file."""
    for index, tensor in enumerate(main.subgraph.tensors):
        tensor.name = f"{reading.text(tensor.name)}#{index}#"


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
    _refuse_floats(main)
    numbers = _numbers(main)
    numbers |= _unnamed_constants(main, floats, numbers)
    constants = {}
    for index, source in numbers.items():
        if main.data(index) is not None:
            if main.shape(index) == floats.shape(source):  # not one that the quantizer has transposed
                constants[index] = floats.data(source)
        elif source in formats and main.dtype(index) == scheme.dtype:
            main.declare(index, formats[source])
    found: set[str] = set()
    for operator in list(main.subgraph.operators):
        name = main.file.operator_name(operator)
        if name in _WEIGHTS_AXIS:
            found |= _write_weights(main, operator, constants, weights)
        elif name == "GATHER":
            found |= _write_table(main, operator, constants, weights, scheme)
        elif name in _COMPARISONS:
            _check_comparison(main, operator)
        elif name in _ELEMENTWISE:
            _write_operands(main, operator, constants, scheme)
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


def _numbers(main):
    """Returns tensor -> the number in its name, and takes the numbers out of the names.

    The quantizer appends digits to the names of copies. A copy of a constant has the values of its original; one of
    another tensor is in another format.
    """
    found = {}
    for index, tensor in enumerate(main.subgraph.tensors):
        name = reading.text(tensor.name)
        match = _NUMBERED.search(name)
        if match is not None and (not match[2] or main.data(index) is not None):
            found[index] = int(match[1])
        tensor.name = _NUMBER.sub("", name)
    return found


def _unnamed_constants(main, floats, numbers):
    """Returns tensor -> the number of constants that the quantizer gave names of its own, as in TensorFlow 2.20.

    They are operands of an operator whose result has kept its name: the same operands of the same operator as before.
    """
    made = {source: op for op in floats.subgraph.operators for source in reading.indices(op.outputs)}
    found = {}
    for operator in main.subgraph.operators:
        before = made.get(numbers.get(operator.outputs[0]))
        if before is None or floats.file.operator_name(before) != main.file.operator_name(operator):
            continue
        # The quantizer may add a bias of zeros as the last operand.
        for index, source in zip(operator.inputs, reading.indices(before.inputs), strict=False):
            if index not in numbers and index >= 0 and main.data(index) is not None:
                found[index] = source
    return found


def _refuse_floats(main):
    """Raises ValueError if an operator or an edge of the file stayed in floats."""
    for operator in main.subgraph.operators:
        operator.inputs = reading.indices(operator.inputs)
        operator.outputs = reading.indices(operator.outputs)
        name = main.file.operator_name(operator)
        # The quantizer puts a DEQUANTIZE before an operator that it leaves in floats. Numbers that are integers already
        # are cast to floats and quantized, as in calibrated files.
        if name not in ("DEQUANTIZE", "CAST") and any(
            main.dtype(index) == np.float32 for index in operator.outputs
        ):
            layer = _NUMBER.sub("", layer_of(main, operator, operator.outputs[0]))
            raise _in_floats(f"the operator {name} in {layer!r}")
    for index in map(int, (*main.subgraph.inputs, *main.subgraph.outputs)):
        if main.dtype(index) == np.float32:
            raise _in_floats(
                f"the value {_NUMBER.sub('', reading.text(main.subgraph.tensors[index].name))!r}"
            )


def _in_floats(what):
    return ValueError(
        message(
            "model",
            "have layers around its recurrences that TFLite computes with integers",
            f"{what}, which stays in floats",
            "Replace the layer.",
        )
    )


def _write_weights(main, operator, constants, weights):
    """Writes stated weights, and the bias in the scale of the accumulator; returns the names of the weights."""
    axis = _WEIGHTS_AXIS[main.file.operator_name(operator)]
    x, matrix, *rest = operator.inputs
    array, found = constants.get(matrix), set()
    for entry in weights if array is not None else ():
        values = np.ravel(np.asarray(entry.values, np.float32))
        # Keras has the output channels last.
        if np.array_equal(np.ravel(np.moveaxis(array, axis, -1)), values):
            found.add(entry.name)
            matrix = _weights(main, matrix, array, entry, axis)
            break
    operator.inputs = [x, matrix, *rest]
    if rest and rest[0] >= 0:
        step = main.quantization(x).scale * np.float64(main.quantization(matrix).scale)
        bias = constants.get(rest[0])
        if bias is None:  # the quantizer adds zeros where a layer has none
            bias = main.data(rest[0]) * np.float64(main.quantization(rest[0]).scale)
        integers, dtype = np.round(bias.astype(np.float64) / step), main.dtype(rest[0])
        if np.abs(integers).max(initial=0.0) > _LARGEST_BIAS[dtype]:
            raise ValueError(
                message(
                    "model",
                    "have biases that fit the accumulator of their layer",
                    f"the bias of {layer_of(main, operator, operator.outputs[0])!r} of up to "
                    f"{np.abs(integers).max():.2g} steps, the product of the scales of its inputs and weights",
                    "Give the weights a larger scale.",
                )
            )
        name = reading.text(main.subgraph.tensors[rest[0]].name)
        quantization = Quantization(step, 0, 0 if np.ndim(step) else None)
        operator.inputs[2] = main.constant(name, integers.astype(dtype), quantization)
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


def _write_table(main, operator, constants, weights, scheme):
    """Writes the table of an embedding, in the format of the result or as int8 weights; returns the names of weights.

    TFLite Micro can't gather int16.
    """
    table, result = operator.inputs[0], operator.outputs[0]
    array = constants.get(table)
    if array is None:
        return set()
    if scheme.dtype == np.int8:
        operator.inputs[0] = _constant(main, table, array, main.quantization(result), np.int8)
        return set()
    entry = next((each for each in weights if np.array_equal(np.float32(each.values), array)), None)
    scale = np.abs(array).max(initial=0.0) / INT8_MAX if entry is None else np.ravel(entry.scale)[0]
    held = Quantization(max(float(scale), LEAST_SCALE))
    operator.inputs[0] = _constant(main, table, array, held, np.int8)
    operator.outputs = [main.tensor("row", main.shape(result), np.int8, held)]
    op.quantize_into(main, operator.outputs[0], result)
    return set() if entry is None else {entry.name}


def _write_operands(main, operator, constants, scheme):
    """Writes constant operands in the format of their own range."""
    for k, index in enumerate(operator.inputs):
        array = constants.get(index)
        if array is not None:
            quantization = scheme.format(float(array.min()), float(array.max()))
            operator.inputs[k] = _constant(main, index, array, quantization, scheme.dtype)


def _write_picked(main, operator, constants, positions):
    """Converts operands to the format of the result, where they have another one."""
    result = operator.outputs[0]
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


def _check_comparison(main, operator):
    """Refuses scales on which the kernels of comparisons end the process."""
    for index in operator.inputs:
        held = main.quantization(index)
        if held is not None and held.scale >= 1:
            raise ValueError(
                message(
                    "model",
                    "compare values whose scales are below 1",
                    f"the operator {main.file.operator_name(operator)} in {layer_of(main, operator, index)!r} on "
                    f"values with the scale {held.scale:.3g}",
                    "Scale the values towards 1.",
                )
            )


def _constant(main, index, array, quantization, dtype):
    integers = np.round(array.astype(np.float64) / quantization.scale) + quantization.zero_point
    name = reading.text(main.subgraph.tensors[index].name)
    return main.constant(name, np.clip(integers, *limits(dtype)).astype(dtype), quantization)
