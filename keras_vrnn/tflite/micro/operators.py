"""The operators of TFLite Micro, and the types that their kernels take.

As of tflite-micro in the autumn of 2026. `interpreter.attempt` asks the real interpreter; these rules serve where it is
not installed, and name what the generated op resolver registers.
"""

from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.tflite.reading import TYPE_NAMES, indices, operator_name

# Operators of the schema that MicroMutableOpResolver registers by a method named by the rule below ...
_REGULAR = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS DEPTH_TO_SPACE DEPTHWISE_CONV_2D
    DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR
    FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF
    L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOG LOG_SOFTMAX LOGICAL_AND LOGICAL_NOT LOGICAL_OR
    LOGISTIC MAX_POOL_2D MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PRELU QUANTIZE
    READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX
    SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
    STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
# ... and operators whose method breaks the rule.
_IRREGULAR = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "L2_POOL_2D": "AddL2Pool2D",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}


def _method(name):
    """AVERAGE_POOL_2D -> AddAveragePool2D."""
    return "Add" + "".join(part.capitalize() for part in name.split("_")).replace("2d", "2D")


# Operator of the schema -> method of tflite::MicroMutableOpResolver that registers it.
RESOLVER_METHODS = {name: _method(name) for name in _REGULAR.split()} | _IRREGULAR

_MOST_CONCATENATED = 10
_F32, _F16, _I8, _I16, _I32, _BOOL = (
    getattr(schema.TensorType, name) for name in ("FLOAT32", "FLOAT16", "INT8", "INT16", "INT32", "BOOL")
)
# Operator -> (which input, types of it that its kernel takes), as far as our files and stock files meet a limit.
_INPUT_TYPES = {
    "DEQUANTIZE": (0, {_I8, _I16, schema.TensorType.UINT8}),
    "FILL": (1, {_F32, _I8, _I32}),
    "GATHER": (0, {_F32, _I8}),
    "SELECT_V2": (1, {_F32, _I8, _I16}),
    "SLICE": (0, {_F32, _I8, _I16, _I32, _BOOL}),
}


def obstacles(model):
    """Returns why TFLite Micro can't run a model, one line per reason; an empty list if no reason is known."""
    found = {}  # a dictionary keeps the order and drops repetitions
    for subgraph in model.subgraphs:
        for operator in subgraph.operators or []:
            for reason in _of_operator(operator_name(model, operator), operator, subgraph):
                found[reason] = None
    return list(found)


def _of_operator(name, operator, subgraph):
    if name not in RESOLVER_METHODS:
        yield f"{name}: TFLite Micro has no such operator"
        return
    types = [subgraph.tensors[i].type if i >= 0 else None for i in indices(operator.inputs)]
    shown = [TYPE_NAMES.get(t, "none") for t in types]
    if name == "FULLY_CONNECTED" and len(types) > 1 and types[0] == _F32 != types[1]:
        yield f"FULLY_CONNECTED: float32 input with {shown[1]} weights (dynamic-range file)"
    if name == "FULLY_CONNECTED" and len(types) > 1 and types[1] == schema.TensorType.INT4:
        if types[0] == _I16:
            yield "FULLY_CONNECTED: int16 input with int4 weights"
        quantization = subgraph.tensors[operator.inputs[1]].quantization
        if quantization is not None and len(indices(quantization.zeroPoint)) > 1:
            yield "FULLY_CONNECTED: int4 weights with more than one scale"
    if name == "CONCATENATION" and len(types) > _MOST_CONCATENATED:
        yield f"CONCATENATION: {len(types)} inputs, TFLite Micro takes at most {_MOST_CONCATENATED}"
    position, taken = _INPUT_TYPES.get(name, (0, None))
    if taken is not None and position < len(types) and types[position] not in taken:
        yield f"{name}: TFLite Micro does not take {shown[position]}"
