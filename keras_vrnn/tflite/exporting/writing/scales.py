"""Mends the formats around operators that move or pick integers without reading their scales.

Operands and result of such an operator need one format. The stock converter sometimes declares different ones
(TensorFlow 2.21: for the result of REVERSE_V2 before an addition that is halved, and for the second value of ONE_HOT);
the kernels ignore that, and the integers get a wrong meaning. At int16 it also declares one format where the result
needs a wider one: for sums, and for padding with a value beyond the data's range.
"""

import math

import numpy as np

from keras_vrnn.quantization.formats import INT16_MAX, Quantization, limits, no_finer, span
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.flatbuffer import Graph
from keras_vrnn.tflite.reading import text

# Operator -> position of the input whose format the result has.
MOVERS = {
    "BATCH_TO_SPACE_ND": 0,
    "BROADCAST_TO": 0,
    "DEPTH_TO_SPACE": 0,
    "EXPAND_DIMS": 0,
    "GATHER": 0,
    "GATHER_ND": 0,
    "MAX_POOL_2D": 0,
    "AVERAGE_POOL_2D": 0,
    "MIRROR_PAD": 0,
    "PAD": 0,
    "REDUCE_MAX": 0,
    "REDUCE_MIN": 0,
    "RESHAPE": 0,
    "REVERSE_V2": 0,
    "SLICE": 0,
    "SPACE_TO_BATCH_ND": 0,
    "SPACE_TO_DEPTH": 0,
    "SPLIT": 1,
    "SQUEEZE": 0,
    "STRIDED_SLICE": 0,
    "TILE": 0,
    "TRANSPOSE": 0,
    "UNPACK": 0,
}
# Operator -> positions of the inputs that it picks from, which get the result's format; None for all inputs.
PICKERS = {
    "MAXIMUM": None,
    "MINIMUM": None,
    "ONE_HOT": (2, 3),
    "PACK": None,
    "PADV2": (0, 2),
    "SELECT": (1, 2),
    "SELECT_V2": (1, 2),
}
# The least normal float32, the type of scales, and where products of two scales are still far from infinite.
_LEAST_SCALE, _LARGEST_SCALE = 2.0**-126, 2.0**100
# Largest ratio of a term's scale to the sum's scale.
_ADDITIONS = {np.dtype("int8"): 2.0**19, np.dtype("int16"): 2.0**14}
# Relative difference of the ranges of a sum that was computed in another order.
_ROUNDING = 1e-5
# XNNPACK converts between scales only within these ratios; a CONCATENATION beyond them fails to load.
_RATIOS = (2.0**-8, 2.0**7)


def adopt(graph, reference):
    """Gives the tensors of a graph the formats and the constants of the same graph for another number of time steps.

    The ranges that the converter measures depend on the number of rows by rounding, and so would the integers.
    """
    others = {text(tensor.name): index for index, tensor in enumerate(reference.subgraph.tensors)}
    for index, tensor in enumerate(graph.subgraph.tensors):
        other = others.get(text(tensor.name))
        if other is None or graph.dtype(index) != reference.dtype(other):
            continue
        old, new = graph.quantization(index), reference.quantization(other)
        alike = old is not None and new is not None and np.shape(old.scale) == np.shape(new.scale)
        if not alike or not np.allclose(old.scale, new.scale, rtol=_ROUNDING, atol=0):
            continue
        graph.declare(index, new)
        data = reference.data(other)
        if data is not None and graph.shape(index) == reference.shape(other):
            tensor.buffer = graph.file.buffer(data)


def agree(main):
    """Converts operands and results of such operators wherever the declared formats differ or are too narrow."""
    for operator in list(main.subgraph.operators):
        name = main.file.operator_name(operator)
        if name == "SUM":
            _make_room_for_sum(main, operator)
        if name == "CONCATENATION":
            _convert_far_apart(main, operator)
        if name in MOVERS:
            _convert_results(main, operator, main.quantization(int(operator.inputs[MOVERS[name]])))
        if name in PICKERS:
            positions, result = PICKERS[name] or range(len(operator.inputs)), int(operator.outputs[0])
            _make_room_for_constants(main, [int(operator.inputs[k]) for k in positions], result)
            operator.inputs = [
                _in_format_of(main, int(index), result) if k in positions else index
                for k, index in enumerate(operator.inputs)
            ]


def _make_room_for_sum(main, operator):
    """Makes the format of an int16 sum of n terms n times as wide as the format of a term."""
    source, result = int(operator.inputs[0]), int(operator.outputs[0])
    if main.dtype(result) == np.int16 and same(main.quantization(source), main.quantization(result)):
        terms = math.prod(main.shape(source)) / math.prod(main.shape(result))
        main.declare(result, Quantization(main.quantization(source).scale * terms))


def _make_room_for_constants(main, picked, result):
    """Widens the format of an int16 result to hold the constants that it may be picked from."""
    if main.dtype(result) != np.int16 or main.quantization(result) is None:
        return
    reals = [np.abs(_real(main, index)).max() for index in picked if main.data(index) is not None]
    main.declare(result, no_finer(main.quantization(result), max(reals, default=0.0) / INT16_MAX))


def _real(main, index):
    """Returns the real values of a constant tensor."""
    values, source = main.data(index), main.quantization(index)
    return values if source is None else source.scale * (values.astype(np.float64) - source.zero_point)


def _convert_results(main, operator, source):
    """Gives the results of an operator the format `source`, and converts them to the declared one by QUANTIZE."""
    for k, declared in enumerate(map(int, operator.outputs)):
        if source is None or main.quantization(declared) is None or same(source, main.quantization(declared)):
            continue
        moved = main.tensor("moved", main.shape(declared), main.dtype(declared), source)
        operator.outputs = [*operator.outputs[:k], moved, *operator.outputs[k + 1 :]]
        op.quantize_into(main, moved, declared)


def _in_format_of(main, index, result):
    """Returns the tensor, or one with the same real values in the format of `result`."""
    source, target = main.quantization(index), main.quantization(result)
    if target is None or (same(source, target) and main.dtype(index) == main.dtype(result)):
        return index
    if main.data(index) is None:
        return op.quantize(main, "converted", index, target)
    integers = np.round(_real(main, index) / target.scale) + target.zero_point
    integers = np.clip(integers, *limits(main.dtype(result)))
    return main.constant("converted", integers.astype(main.dtype(result)), target)


def widen(main, index, quantization):
    """Gives an input the format `quantization` where the converter chose a narrower one.

    The converter takes the format of the result of MAXIMUM or a similar operator. This operator loses nothing by it,
    but every other reader of the input does.
    """
    declared, dtype = main.quantization(index), main.dtype(index)
    readers = sum(index in map(int, operator.inputs) for operator in main.subgraph.operators)
    if declared is None or quantization is None or readers < 2:
        return
    (low, high), (lowest, highest) = span(declared, dtype), span(quantization, dtype)
    if low > lowest + quantization.scale or high < highest - quantization.scale:
        main.declare(index, quantization)


def _convert_far_apart(main, operator):
    result = main.quantization(int(operator.outputs[0]))
    inputs = [int(index) for index in operator.inputs]
    for k, index in enumerate(inputs):
        source = main.quantization(index)
        if source is not None and not _RATIOS[0] <= source.scale / result.scale <= _RATIOS[1]:
            inputs[k] = op.quantize(main, "part", index, result)
    operator.inputs = inputs


def check(file):
    """Checks that the kernels accept the scales of a `ModelFile`; some kernels abort the process otherwise.

    Raises:
        ValueError: a scale is outside of float32's range, or the scales of an addition are too far apart.
    """
    for subgraph in file.model.subgraphs:
        graph = Graph(file, subgraph)
        for index, tensor in enumerate(subgraph.tensors):
            quantization = graph.quantization(index)
            scale = np.atleast_1d(1.0 if quantization is None else quantization.scale)
            if not ((scale >= _LEAST_SCALE) & (scale <= _LARGEST_SCALE)).all():
                raise _unusable(tensor, f"would need the scale {scale.max():.3g}")
        for operator in subgraph.operators:
            result = graph.quantization(int(operator.outputs[0])) if len(operator.outputs) else None
            limit = _ADDITIONS.get(graph.dtype(int(operator.outputs[0]))) if result is not None else None
            if file.operator_name(operator) in ("ADD", "SUB") and limit is not None:
                terms = [graph.quantization(int(index)).scale for index in operator.inputs]
                if max(terms) >= limit * result.scale:
                    tensor = subgraph.tensors[int(operator.outputs[0])]
                    raise _unusable(
                        tensor, f"is a sum of terms {max(terms) / result.scale:.2g} times as large"
                    )


def _unusable(tensor, what):
    name = tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name
    return ValueError(
        f"model: on calibration_data the value {name!r} {what}, which the runtimes can't hold in integers; scale the "
        "data or the weights towards 1, or choose quantization='float32'."
    )


def unify(main, quantization):
    """Makes formats equal that differ only in the last digit: XNNPACK refuses a CONCATENATION of such formats."""
    for index in range(len(main.subgraph.tensors)):
        if quantization is not None and same(main.quantization(index), quantization):
            main.declare(index, quantization)


def same(one, other):
    """Whether two formats are equal up to the last digit, where the converter's float32 and our float64 may differ."""
    if one is None or other is None:
        return one is other
    if one.axis is not None or other.axis is not None:  # weights
        return False
    return one.zero_point == other.zero_point and abs(one.scale - other.scale) <= 1e-6 * one.scale
