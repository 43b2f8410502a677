"""Operators that move integers without looking at their scale, and what they need: one format on both sides.

The stock converter now and then declares another one for the result (REVERSE_V2 before an addition that is halved,
TensorFlow 2.21), which the kernels ignore: the result is read wrongly.
"""

from keras_vrnn.tflite.exporting.writing import operators as op

# Operator -> position of the input whose format the result has.
_MOVERS = {
    "BATCH_TO_SPACE_ND": 0,
    "BROADCAST_TO": 0,
    "DEPTH_TO_SPACE": 0,
    "EXPAND_DIMS": 0,
    "GATHER": 0,
    "GATHER_ND": 0,
    "MAX_POOL_2D": 0,
    "AVERAGE_POOL_2D": 0,
    "MIRROR_PAD": 0,
    "PACK": 0,
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


# Between scales of a ratio outside of these XNNPACK converts nothing, and a CONCATENATION that needs it fails to load.
_RATIOS = (2.0**-8, 2.0**7)


def agree(main):
    """Gives such results the format of what they are made of, and converts them to the declared one by QUANTIZE."""
    for operator in list(main.subgraph.operators):
        if main.file.operator_name(operator) == "CONCATENATION":
            _convert_far_apart(main, operator)
        position = _MOVERS.get(main.file.operator_name(operator))
        if position is None:
            continue
        source = main.quantization(int(operator.inputs[position]))
        for k, declared in enumerate(map(int, operator.outputs)):
            if (
                source is None
                or main.quantization(declared) is None
                or same(source, main.quantization(declared))
            ):
                continue
            moved = main.tensor("moved", main.shape(declared), main.dtype(declared), source)
            operator.outputs = [*operator.outputs[:k], moved, *operator.outputs[k + 1 :]]
            op.quantize_into(main, moved, declared)


def _convert_far_apart(main, operator):
    result = main.quantization(int(operator.outputs[0]))
    inputs = [int(index) for index in operator.inputs]
    for k, index in enumerate(inputs):
        source = main.quantization(index)
        if source is not None and not _RATIOS[0] <= source.scale / result.scale <= _RATIOS[1]:
            inputs[k] = op.quantize(main, "part", index, result)
    operator.inputs = inputs


def unify(main, quantization):
    """Makes formats that are the same but for the last digit one: XNNPACK refuses a CONCATENATION of two such."""
    for index in range(len(main.subgraph.tensors)):
        if quantization is not None and same(main.quantization(index), quantization):
            main.declare(index, quantization)


def same(one, other):
    """Equal but for the last digit, in which the converter's float32 and our float64 may differ."""
    if one is None or other is None:
        return one is other
    if one.axis is not None or other.axis is not None:  # weights
        return False
    return one.zero_point == other.zero_point and abs(one.scale - other.scale) <= 1e-6 * one.scale
