"""Reads the formats that a float file states as pairs of QUANTIZE and DEQUANTIZE, and removes these pairs."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn._checks import message
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite import reading
from keras_vrnn.tflite.exporting.writing.scales import MOVERS

# The formats that kernels write whatever is declared.
_FIXED = {
    np.dtype("int8"): {
        "L2_NORMALIZATION": Quantization(1 / 128, 0),
        "LOGISTIC": Quantization(1 / 256, -128),
        "LOG_SOFTMAX": Quantization(16 / 256, 127),
        "SOFTMAX": Quantization(1 / 256, -128),
        "TANH": Quantization(1 / 128, 0),
    },
    np.dtype("int16"): {
        "LOGISTIC": Quantization(1 / 32768, 0),
        "SOFTMAX": Quantization(1 / 32768, 0),
        "TANH": Quantization(1 / 32768, 0),
    },
}
# The converter writes the marks in unsigned types.
_OFFSETS = {np.dtype("uint8"): 2**7, np.dtype("uint16"): 2**15, np.dtype("int8"): 0, np.dtype("int16"): 0}


def taken(main):
    """Removes the marks from a float file.

    Args:
        main: The main `Graph`.

    Returns:
        Tensor -> `Quantization`.

    Raises:
        ValueError: A tensor is marked with two formats.
    """
    formats: dict[int, Quantization] = {}
    sources: dict[int, int] = {}  # tensor behind a mark -> tensor before it
    kept = []
    for operator in main.subgraph.operators:
        operator.inputs = [sources.get(index, index) for index in reading.indices(operator.inputs)]
        operator.outputs = reading.indices(operator.outputs)
        name = main.file.operator_name(operator)
        if name not in ("QUANTIZE", "DEQUANTIZE"):
            kept.append(operator)
            continue
        (source,), (result,) = operator.inputs, operator.outputs
        sources[result] = source
        if name == "QUANTIZE":
            declared = main.quantization(result)
            stated = Quantization(declared.scale, declared.zero_point - _OFFSETS[main.dtype(result)])
            if formats.setdefault(source, stated) != stated:
                raise refused(
                    main,
                    None,
                    source,
                    f"two marks, {_words(formats[source])} and {_words(stated)}",
                    "Give it one format.",
                )
    main.subgraph.operators = kept
    main.subgraph.outputs = [sources.get(index, index) for index in reading.indices(main.subgraph.outputs)]
    main.subgraph.inputs = reading.indices(main.subgraph.inputs)
    return formats


def spread(main, scheme, marked):
    """Returns tensor -> `Quantization` for every float tensor that is computed.

    An operator that moves integers has one format before and behind it. Some kernels set the format of their results.

    Args:
        main: The main `Graph` of the float file.
        scheme: The quantization scheme.
        marked: Tensor -> `Quantization`.

    Raises:
        ValueError: A tensor has no format, or two.
    """
    formats = dict(marked)
    for operator in reversed(main.subgraph.operators):
        source = _moved(main, operator)
        if source is not None and source not in formats:
            known = [formats[index] for index in operator.outputs if index in formats]
            formats.update((source, stated) for stated in known[:1])
    for index in main.subgraph.inputs:
        if _is_float(main, index) and index not in formats:
            raise refused(main, None, index, "no mark", "Mark every float input.")
    for operator in main.subgraph.operators:
        name, source = main.file.operator_name(operator), _moved(main, operator)
        for index in operator.outputs:
            if not _is_float(main, index):
                continue
            fixed = formats[source] if source is not None else _FIXED[scheme.dtype].get(name)
            stated = formats.setdefault(index, fixed)
            if stated is None:
                raise refused(main, operator, index, "no mark", "Mark it with its format.")
            if fixed is not None and not _equal(stated, fixed):
                why = "whose integers it moves" if source is not None else "which its kernel always writes"
                raise refused(
                    main,
                    operator,
                    index,
                    f"the mark {_words(stated)} instead of {_words(fixed)}, {why}",
                    "Mark it with that one, or leave out the mark.",
                )
    return formats


def refused(main, operator, index, what, fix):
    """Returns the ValueError for a tensor, which names the operator and the layer."""
    of = f"the result of {main.file.operator_name(operator)} in" if operator else "the value"
    return ValueError(
        message(
            "model",
            "state one format for every value around its recurrences",
            f"{of} {layer_of(main, operator, index)!r} with {what}",
            fix,
        )
    )


def layer_of(main, operator, index):
    """Returns the name of a tensor, or of an operand that shows the layer: the name of an output often does not."""
    indices = [index, *(k for k in operator.inputs if k >= 0)] if operator else [index]
    names = [reading.text(main.subgraph.tensors[k].name) for k in indices]
    return next((name for name in names if "/" in name), names[0])


def _moved(main, operator):
    """Returns the tensor whose integers an operator moves, unless it is a constant such as a table; or None."""
    position = MOVERS.get(main.file.operator_name(operator))
    if position is None:
        return None
    source = int(operator.inputs[position])
    return source if main.data(source) is None and _is_float(main, source) else None


def _is_float(main, index):
    return main.subgraph.tensors[index].type == schema.TensorType.FLOAT32


def _equal(one, other):
    return np.float32(one.scale) == np.float32(other.scale) and one.zero_point == other.zero_point


def _words(quantization):
    return f"scale {quantization.scale:.6g}, zero point {quantization.zero_point}"
