"""Reads a `.tflite` file as plain objects and refuses a damaged one.

A flatbuffer is offsets into itself, and the interpreters follow them unchecked: a cut file can crash the process.
Needs numpy and what ai-edge-litert brings along.
"""

import os

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_IDENTIFIER = b"TFL3"
# Bytes of an element; types that share bytes or have no fixed size are left out.
ITEM_SIZES = {
    schema.TensorType.FLOAT64: 8,
    schema.TensorType.INT64: 8,
    schema.TensorType.UINT64: 8,
    schema.TensorType.FLOAT32: 4,
    schema.TensorType.INT32: 4,
    schema.TensorType.UINT32: 4,
    schema.TensorType.FLOAT16: 2,
    schema.TensorType.BFLOAT16: 2,
    schema.TensorType.INT16: 2,
    schema.TensorType.UINT16: 2,
    schema.TensorType.INT8: 1,
    schema.TensorType.UINT8: 1,
    schema.TensorType.BOOL: 1,
}
TYPE_NAMES = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
_OPERATOR_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def read(path, argument="path"):
    """Returns the bytes of a TFLite file and its `ModelT`.

    Args:
        path: the file.
        argument: the name of the caller's argument, for the error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TFLite model, or a damaged one.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{argument}: there is no file {str(path)!r}.")
    with open(path, "rb") as file:
        content = file.read()
    if content[4:8] != _IDENTIFIER:
        raise ValueError(
            f"{argument}: {str(path)!r} is not a TFLite model: bytes 4 to 8 are {content[4:8]!r} instead of "
            f"{_IDENTIFIER!r}."
        )
    try:
        model = schema.ModelT.InitFromPackedBuf(content)
        _check(model, len(content))
    except Exception as error:  # the generated reader raises whatever it stumbles over
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{argument}: {str(path)!r} is not a TFLite model that can be read, it is cut or damaged ({reason}). "
            "Export or copy it again."
        ) from error
    return content, model


def operator_name(model, operator):
    """Returns the schema's name of an operator, e.g. "FULLY_CONNECTED"; "CUSTOM:x" for others."""
    code = model.operatorCodes[operator.opcodeIndex]
    # Codes from 127 on do not fit the older of the two fields.
    name = _OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return f"CUSTOM:{text(code.customCode)}" if name == "CUSTOM" else name


def text(value):
    """Returns a string of the schema, which the generated reader gives as bytes or None."""
    return (value or b"").decode("utf-8", "replace") if not isinstance(value, str) else value


def indices(vector):
    """Returns a vector of the schema as a list of int; an absent one is empty."""
    return [] if vector is None else [int(n) for n in vector]


def constant_bytes(model, tensor):
    """Returns how many bytes of the file a tensor's values take; 0 for one that is computed."""
    buffer = model.buffers[tensor.buffer]
    return int(buffer.size) if buffer.data is None else len(buffer.data)


def _check(model, size):
    """Holds every reference of a model to what is there."""
    _require(model.version == 3, f"schema version {model.version}")
    _require(model.subgraphs and model.buffers is not None, "no graph")
    for buffer in model.buffers:  # large models keep data behind the flatbuffer
        _require(buffer.offset <= 1 or buffer.offset + buffer.size <= size, "a buffer ends behind the file")
    for entry in model.metadata or []:
        _require(entry.buffer < len(model.buffers), "metadata of no buffer")
    for subgraph in model.subgraphs:
        _check_subgraph(model, subgraph)
    for signature in model.signatureDefs or []:
        _require(signature.subgraphIndex < len(model.subgraphs), "a signature of no graph")
        count = len(model.subgraphs[signature.subgraphIndex].tensors)
        for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
            _require(entry.tensorIndex < count, "a signature of no tensor")


def _check_subgraph(model, subgraph):
    count = len(subgraph.tensors or [])
    for tensor in subgraph.tensors or []:
        _require(tensor.type in TYPE_NAMES, f"tensor type {tensor.type}")
        _require(tensor.buffer < len(model.buffers), "a tensor of no buffer")
        shape = indices(tensor.shape)
        _require(all(n >= 0 for n in shape), f"tensor shape {shape}")
        stored = constant_bytes(model, tensor)
        if stored and tensor.type in ITEM_SIZES and tensor.sparsity is None:
            expected = int(np.prod(shape, dtype=np.int64)) * ITEM_SIZES[tensor.type]
            _require(stored == expected, f"tensor {text(tensor.name)!r} of {expected} bytes holds {stored}")
    for index in indices(subgraph.inputs) + indices(subgraph.outputs):
        _require(0 <= index < count, f"tensor index {index} of {count}")
    for operator in subgraph.operators or []:
        _require(operator.opcodeIndex < len(model.operatorCodes or []), "an operator without code")
        operator_name(model, operator)
        for index in indices(operator.inputs):
            _require(
                -1 <= index < count, f"tensor index {index} of {count}"
            )  # -1: an optional input left out
        for index in indices(operator.outputs):
            _require(0 <= index < count, f"tensor index {index} of {count}")
        options = operator.builtinOptions
        for name, index in vars(options).items() if options else ():
            if name.endswith("SubgraphIndex"):
                _require(0 <= index < len(model.subgraphs), f"subgraph index {index}")


def _require(condition, reason):
    if not condition:
        raise ValueError(reason)
