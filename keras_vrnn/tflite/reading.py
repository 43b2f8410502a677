"""Reads a `.tflite` file into plain objects and refuses a damaged one.

A flatbuffer consists of offsets into itself, and the interpreters follow them unchecked: a damaged file can crash the
process. Needs NumPy and what ai-edge-litert installs.
"""

import json
import math
import os

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.tflite import digest

# The signature that sets the variables of a streaming file with internal state to zero.
RESET = "reset"
# The metadata entry that lists the inputs and outputs of a file that takes any number of time steps.
TIMED = "keras_vrnn_timed"
# How a state's tensors are called: it goes in as "…state_in" and comes out as "…state_out".
STATE_IN, STATE_OUT = "state_in", "state_out"
# The input of a file that takes any number of steps: how many of the steps in the other inputs count.
LENGTH = "length"
_IDENTIFIER = b"TFL3"
# The interpreters count the bytes of a tensor in an int32 in places.
_MOST_BYTES = 2**31 - 1
# Bytes per element; types of a variable size are left out, and INT4, of which two share a byte.
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
# Bits per element of the types that share bytes; the first element is in the lowest bits. By name, since older versions
# of the schema lack some of them.
PACKED_BITS = {"INT4": 4, "UINT4": 4, "INT2": 2}
_OPERATOR_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
# Operators whose options are read here or followed to another graph.
_OPTIONS = {
    "CALL_ONCE": schema.CallOnceOptionsT,
    "IF": schema.IfOptionsT,
    "VAR_HANDLE": schema.VarHandleOptionsT,
    "WHILE": schema.WhileOptionsT,
}


def read(path, argument="path"):
    """Returns the bytes of a TFLite file and its `ModelT`.

    Args:
        path: the file.
        argument: the name of the caller's argument, for the error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a TFLite model, or it is damaged.
    """
    received = f"Received: {argument}={os.fspath(path)!r}"
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`{argument}` must be a file that exists. {received}")
    with open(path, "rb") as file:
        content = file.read()
    try:
        digest.is_intact(content)
    except ValueError as error:
        raise ValueError(
            f"`{argument}` must be a file as it was exported. {received}, which is damaged or was changed: {error}. "
            "Export or copy it again; if another program changed it on purpose, call kv.tflite.seal(path)."
        ) from None
    if content[:2] == b"PK":  # a zip archive, as `.keras` files are
        raise ValueError(
            f"`{argument}` must be a TFLite model. {received}, which is an archive, as .keras files are. Export it "
            "first: keras-vrnn export model.keras model.tflite."
        )
    if content[4:8] != _IDENTIFIER:
        raise ValueError(
            f"`{argument}` must be a TFLite model. {received}, whose bytes 4 to 8 are {content[4:8]!r} instead of "
            f"{_IDENTIFIER!r}."
        )
    try:
        model = schema.ModelT.InitFromPackedBuf(content)
        _check(model, len(content))
    except Exception as error:  # the generated reader raises many kinds of errors on damaged offsets
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"`{argument}` must be a TFLite model. {received}, which is cut or damaged: {reason}. "
            "Export or copy it again."
        ) from error
    return content, model


def operator_name(model, operator):
    """Returns the schema's name of an operator, e.g. "FULLY_CONNECTED"; "CUSTOM:x" for others."""
    code = model.operatorCodes[operator.opcodeIndex]
    # Codes from 127 on do not fit the older of the two fields.
    name = _OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return f"CUSTOM:{text(code.customCode)}" if name == "CUSTOM" else name


def edge_names(model):
    """Returns the names of the main graph's inputs and of its outputs, in the order of the graph.

    A signature gives the names; in a file without one the tensors' own names serve.

    Raises:
        ValueError: two inputs, or two outputs, have the same name.
    """
    main, signatures = model.subgraphs[0], model.signatureDefs or []
    signed = [s for s in signatures if s.subgraphIndex == 0 and text(s.signatureKey) != RESET]
    edges = []
    for kind in ("inputs", "outputs"):
        entries = (getattr(signed[0], kind) or []) if signed else []
        named = {entry.tensorIndex: text(entry.name) for entry in entries}
        names = [named.get(n, text(main.tensors[n].name)) for n in indices(getattr(main, kind))]
        if len(set(names)) < len(names):
            raise ValueError(f"`path` must be a file whose {kind} have different names. Received: {names}")
        edges.append(names)
    return edges


def state_pairs(inputs, outputs):
    """Returns the states among the names of inputs and outputs: name on the way in -> name on the way out."""
    pairs = {name: name.removesuffix(STATE_IN) + STATE_OUT for name in inputs if name.endswith(STATE_IN)}
    # An input of the user's own may be called so too; it has no counterpart.
    return {name: out for name, out in pairs.items() if out in outputs}


def timed_names(model):
    """Returns the names of the inputs and outputs of which only the first `length` steps count; [] in most files."""
    entries = [entry for entry in model.metadata or [] if text(entry.name) == TIMED]
    return json.loads(bytes(model.buffers[entries[0].buffer].data)) if entries else []


def text(value):
    """Returns a string of the schema, which the generated reader gives as bytes or None."""
    return (value or b"").decode("utf-8", "replace") if not isinstance(value, str) else value


def indices(vector):
    """Returns a vector of the schema as a list of int; an absent one is empty."""
    return [] if vector is None else [int(n) for n in vector]


def tensor_bytes(tensor_type, shape):
    """Returns the bytes of a tensor's values, or None if the type has values of no fixed size."""
    bits = PACKED_BITS.get(TYPE_NAMES[tensor_type]) or 8 * ITEM_SIZES.get(tensor_type, 0)
    return (math.prod(shape) * bits + 7) // 8 if bits else None


def constant_bytes(model, tensor):
    """Returns how many bytes of the file a tensor's values take; 0 for a tensor that is computed."""
    buffer = model.buffers[tensor.buffer]
    return int(buffer.size) if buffer.data is None else len(buffer.data)


def _check(model, size):
    """Makes sure that every reference of a model leads to something."""
    _require(model.version == 3, f"schema version {model.version}")
    _require(model.subgraphs and model.buffers, "it holds no graph")
    for buffer in model.buffers:  # large models keep data behind the flatbuffer
        _require(buffer.offset <= 1 or buffer.offset + buffer.size <= size, "a buffer ends beyond the file")
    for entry in model.metadata or []:
        _require(entry.buffer < len(model.buffers), "metadata refers to a missing buffer")
    for subgraph in model.subgraphs:
        _check_subgraph(model, subgraph)
    for signature in model.signatureDefs or []:
        _require(signature.subgraphIndex < len(model.subgraphs), "a signature refers to a missing graph")
        count = len(model.subgraphs[signature.subgraphIndex].tensors or [])
        for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
            _require(entry.tensorIndex < count, "a signature refers to a missing tensor")


def _check_subgraph(model, subgraph):
    count = len(subgraph.tensors or [])
    for tensor in subgraph.tensors or []:
        _check_tensor(model, tensor)
    for index in indices(subgraph.inputs) + indices(subgraph.outputs):
        _require(0 <= index < count, f"tensor index {index} of {count}")
    for operator in subgraph.operators or []:
        _require(operator.opcodeIndex < len(model.operatorCodes or []), "an operator has no code")
        options = _OPTIONS.get(operator_name(model, operator), object)
        _require(isinstance(operator.builtinOptions, options), "an operator has the options of another")
        for index in indices(operator.inputs):  # -1: an optional input left out
            _require(-1 <= index < count, f"tensor index {index} of {count}")
        for index in indices(operator.outputs):
            _require(0 <= index < count, f"tensor index {index} of {count}")
        for index in run_subgraphs(operator):
            _require(0 <= index < len(model.subgraphs), f"subgraph index {index}")


def run_subgraphs(operator):
    """Returns the indices of the subgraphs that a WHILE, IF or CALL_ONCE runs."""
    options = operator.builtinOptions
    named = vars(options).items() if options else ()
    return tuple(index for name, index in named if name.endswith("SubgraphIndex"))


def _check_tensor(model, tensor):
    name = text(tensor.name)
    _require(tensor.type in TYPE_NAMES, f"tensor type {tensor.type}")
    _require(tensor.buffer < len(model.buffers), "a tensor refers to a missing buffer")
    shape = indices(tensor.shape)
    _require(all(n >= 0 for n in shape), f"tensor shape {shape}")
    if tensor.shapeSignature is not None:
        signature = indices(tensor.shapeSignature)
        fits = len(signature) == len(shape) and all(
            s in (-1, n) for s, n in zip(signature, shape, strict=True)
        )
        _require(fits or not signature, f"tensor shape {shape} has the signature {signature}")
    expected = tensor_bytes(tensor.type, shape)
    if expected is not None:
        _require(expected <= _MOST_BYTES, f"tensor {name!r} of {expected} bytes")
        stored = constant_bytes(model, tensor)
        if stored and tensor.sparsity is None:
            _require(stored == expected, f"tensor {name!r} of {expected} bytes holds {stored}")
    if tensor.quantization is not None:
        _check_quantization(tensor.quantization, name, shape)


def _check_quantization(quantization, name, shape):
    """Makes sure that there is one scale, or one per slice of an axis, as LiteRT requires."""
    if quantization.scale is None or not len(quantization.scale):
        return
    scale, zero_point = np.asarray(quantization.scale), indices(quantization.zeroPoint)
    axis = quantization.quantizedDimension
    _require(np.isfinite(scale).all() and (scale >= 0).all(), f"tensor {name!r} has the scale {scale}")
    _require(
        len(zero_point) == len(scale), f"tensor {name!r}: {len(zero_point)} zero points, {len(scale)} scales"
    )
    _require(0 <= axis < max(len(shape), 1), f"tensor {name!r} is quantized along axis {axis}")
    _require(
        len(scale) == 1 or not shape or len(scale) == shape[axis], f"tensor {name!r} has {len(scale)} scales"
    )


def _require(condition, reason):
    if not condition:
        raise ValueError(reason)
