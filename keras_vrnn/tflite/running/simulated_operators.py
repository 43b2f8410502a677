"""The operators of the simulation: each reads its options and formats from the file and calls its arithmetic.

An entry of `OPERATORS` takes (graph, operator, *arguments) and returns the result, or a list of results.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization import activations, convolution, integer, pooling, softmax
from keras_vrnn.quantization.windows import Window
from keras_vrnn.tflite.reading import TYPE_NAMES
from keras_vrnn.tflite.running.simulated_movements import MOVEMENTS, dtype_of, plain, shape_of

_FUSED = {
    schema.ActivationFunctionType.NONE: None,
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}


def _formats(graph, operator):
    return [None if i < 0 else graph.formats[i] for i in (*operator.inputs, operator.outputs[0])]


def fused_activation(operator):
    """Returns the name of the activation that an operator applies to its result, None for none."""
    return _FUSED[operator.options.fusedActivationFunction]


def _narrow(operator):
    """Whether sums have 32 bits; a bias settles it otherwise."""
    return getattr(operator.options, "quantizedBiasType", None) == schema.TensorType.INT32


# Products


def _fully_connected(graph, operator, x, weights, bias=None):
    source, weights_format, *_, target = _formats(graph, operator)
    x = x.reshape(-1, weights.shape[-1])
    made = integer.fully_connected(
        x,
        weights,
        bias,
        source,
        weights_format,
        target,
        fused_activation(operator),
        bias is None and _narrow(operator),
    )
    return made.reshape(shape_of(graph, operator))


def _batch_matmul(graph, operator, x, y):
    if operator.options.adjX:
        x = x.swapaxes(-1, -2)
    if operator.options.adjY:
        y = y.swapaxes(-1, -2)
    return integer.batch_matmul(x, y, *_formats(graph, operator))


def _window(options, size):
    return Window(
        size,
        (options.strideH, options.strideW),
        (getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1)),
        options.padding == schema.Padding.SAME,
    )


def _conv(graph, operator, x, weights, bias=None):
    source, weights_format, *_, target = _formats(graph, operator)
    window = _window(operator.options, weights.shape[1:3])
    narrow = bias is None and _narrow(operator)
    return convolution.conv(
        x, weights, bias, source, weights_format, target, window, fused_activation(operator), narrow
    )


def _depthwise_conv(graph, operator, x, weights, bias=None):
    source, weights_format, *_, target = _formats(graph, operator)
    window = _window(operator.options, weights.shape[1:3])
    return convolution.depthwise_conv(
        x, weights, bias, source, weights_format, target, window, fused_activation(operator)
    )


def _transpose_conv(graph, operator, shape, weights, x, bias=None):
    _, weights_format, source, *_, target = _formats(graph, operator)
    window = _window(operator.options, weights.shape[1:3])
    image = tuple(int(n) for n in shape[1:3])
    return convolution.transpose_conv(
        x, weights, bias, source, weights_format, target, window, image, fused_activation(operator)
    )


# Two operands


def _arithmetic(function, unquantized, fused=True):
    """An operator of two quantized tensors by `function`, and of two others by `unquantized`."""

    def apply(graph, operator, x, y):
        *operands, target = _formats(graph, operator)
        if target is None or x.dtype == np.int32:  # plain numbers, whatever they stand for
            made = unquantized(x, y)
            return made if not fused else _clamp_real(made, fused_activation(operator))
        x, y = np.broadcast_arrays(x, y)
        return function(x, y, *operands, target, *([fused_activation(operator)] if fused else []))

    return apply


def _clamp_real(x, activation):
    low, high = {"RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}.get(activation, (None, None))
    return x if activation is None else np.clip(x, low, high)


def _comparison(compare):
    def apply(graph, operator, x, y):
        formats = [graph.formats[i] for i in operator.inputs]
        if x.dtype == np.int8 and None not in formats:
            x, y = (integer.comparable(a, form) for a, form in zip((x, y), formats, strict=True))
        return compare(x, y)

    return apply


# One operand


def _from_format(function, real=None):
    """An operator that needs the format of its input alone; float numbers by `real`."""

    def apply(graph, operator, x):
        source = graph.formats[operator.inputs[0]]
        return real(x) if x.dtype == np.float32 else function(x, source)

    return apply


def _between_formats(function, real=None):
    """An operator that needs the formats of its input and of its result; float numbers by `real`."""

    def apply(graph, operator, x):
        source, target = _formats(graph, operator)
        return real(x) if x.dtype == np.float32 else function(x, source, target)

    return apply


def _leaky_relu(graph, operator, x):
    source, target = _formats(graph, operator)
    alpha = np.float32(operator.options.alpha)
    if x.dtype == np.float32:
        return np.where(x > 0, x, x * alpha)
    return activations.leaky_relu(x, source, target, alpha)


def _elu_real(x):
    return np.where(x < 0, np.expm1(np.minimum(x, 0), dtype=np.float64).astype(np.float32), x)


def _softmax(graph, operator, x):
    return softmax.softmax(x, graph.formats[operator.inputs[0]], beta=operator.options.beta)


def _quantize(graph, operator, x):
    source, target = _formats(graph, operator)
    if x.dtype == np.float32:
        return integer.quantize(x, target, dtype_of(graph, operator))
    return integer.requantize(x, source, target, dtype_of(graph, operator))


def _dequantize(graph, operator, x):
    source = graph.formats[operator.inputs[0]]
    return ((x.astype(np.int32) - source.zero_point) * np.float64(np.float32(source.scale))).astype(
        np.float32
    )


# Windows and axes


def _pool(function):
    def apply(graph, operator, x):
        options = operator.options
        window = _window(options, (options.filterHeight, options.filterWidth))
        return function(x, graph.formats[operator.outputs[0]], window, fused_activation(operator))

    return apply


def _axes(x, axes):
    return tuple(sorted({int(axis) % x.ndim for axis in np.ravel(axes)}))


def _reduced(function):
    def apply(graph, operator, x, axes):
        source, _, target = _formats(graph, operator)
        return function(x, _axes(x, axes), source, target).reshape(shape_of(graph, operator))

    return apply


def _first(function):
    def apply(graph, operator, x, axis):
        return function(x, axis=int(np.ravel(axis)[0])).astype(dtype_of(graph, operator))

    return apply


def _reduced_plainly(function):
    return lambda graph, operator, x, axes: function(x, axis=_axes(x, axes)).reshape(
        shape_of(graph, operator)
    )


# Operators that give the same float32 numbers everywhere, since they round once for each number. ELU does so too but
# for about one in a thousand, whose last bit is the C library's.
_EXACT = """
    ABS ADD DEQUANTIZE DIV ELU LEAKY_RELU MAXIMUM MINIMUM MUL NEG REDUCE_MAX REDUCE_MIN RELU RELU6 SQUARE
    SQUARED_DIFFERENCE SUB
"""
_FLOAT = {*_EXACT.split(), *MOVEMENTS}
# Quantized types that the kernels of some operators take; the others take both.
_BOTH = (np.dtype("int8"), np.dtype("int16"))
_PLAIN = {"ADD", "MUL", "QUANTIZE", "SUB", *MOVEMENTS}  # take int32 that stands for real numbers
_TYPES = dict.fromkeys(("DIV", "ELU", "HARD_SWISH", "L2_NORMALIZATION", "LOG_SOFTMAX"), _BOTH[:1])


def obstacle(graph, operator):
    """Returns why the simulation can't compute an operator as TFLite Micro does; "" if it can."""
    name = operator.name
    if name not in OPERATORS:
        return f"holds the operator {name}, which the simulation does not have"
    for index in filter(lambda i: i >= 0, operator.inputs + operator.outputs):
        if graph.dtypes[index] is None:
            return f"holds a tensor of type {TYPE_NAMES[graph.types[index]]} ({graph.names[index]!r})"
    types = [None if i < 0 else graph.dtypes[i] for i in operator.inputs]
    for index in operator.outputs:
        dtype = graph.dtypes[index]
        if dtype == np.float32 and name not in _FLOAT:
            return f"computes {name} in float32 (tensor {graph.names[index]!r}), whose last bit depends on the device"
        is_plain = dtype == np.int32 and name in _PLAIN
        if graph.formats[index] is not None and dtype not in _TYPES.get(name, _BOTH) and not is_plain:
            return (
                f"computes {name} in {TYPE_NAMES[graph.types[index]].lower()}, which its kernel does not take"
            )
        if graph.formats[index] is not None and dtype not in types and name not in ("QUANTIZE", *MOVEMENTS):
            return f"computes {name} from one type to another (tensor {graph.names[index]!r})"
    if name == "STRIDED_SLICE" and (operator.options.ellipsisMask or operator.options.newAxisMask):
        return "holds a STRIDED_SLICE that adds axes, which the simulation does not have"
    if name == "GATHER" and operator.options.batchDims not in (0, 1):
        return "holds a GATHER of several batch axes, which the simulation does not have"
    if name == "TRANSPOSE_CONV" and types[2:] == [np.int16, np.int32]:
        return "holds a TRANSPOSE_CONV of int16 with a bias of int32, which its kernel reads as int64"
    return ""


OPERATORS = {
    "ABS": _between_formats(activations.absolute, np.abs),
    "ADD": _arithmetic(integer.add, np.add),
    "ARG_MAX": lambda graph, operator, x, axis: np.argmax(x, axis=int(np.ravel(axis)[0])).astype(
        dtype_of(graph, operator)
    ),
    "ARG_MIN": lambda graph, operator, x, axis: np.argmin(x, axis=int(np.ravel(axis)[0])).astype(
        dtype_of(graph, operator)
    ),
    "AVERAGE_POOL_2D": _pool(pooling.average_pool),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise_conv,
    "DEQUANTIZE": _dequantize,
    "DIV": _arithmetic(integer.div, np.divide),
    "ELU": _between_formats(activations.elu, _elu_real),
    "EQUAL": _comparison(np.equal),
    "FULLY_CONNECTED": _fully_connected,
    "GREATER": _comparison(np.greater),
    "GREATER_EQUAL": _comparison(np.greater_equal),
    "HARD_SWISH": _between_formats(activations.hard_swish),
    "L2_NORMALIZATION": _between_formats(activations.l2_normalization),
    "LEAKY_RELU": _leaky_relu,
    "LESS": _comparison(np.less),
    "LESS_EQUAL": _comparison(np.less_equal),
    "LOGICAL_AND": plain(np.logical_and),
    "LOGICAL_NOT": plain(np.logical_not),
    "LOGICAL_OR": plain(np.logical_or),
    "LOGISTIC": _from_format(integer.logistic),
    "LOG_SOFTMAX": _from_format(softmax.log_softmax),
    "MAXIMUM": plain(np.maximum),
    "MAX_POOL_2D": _pool(pooling.max_pool),
    "MEAN": _reduced(pooling.mean),
    "MINIMUM": plain(np.minimum),
    "MUL": _arithmetic(integer.mul, np.multiply),
    "NEG": plain(np.negative),
    "NOT_EQUAL": _comparison(np.not_equal),
    "PRELU": lambda graph, operator, x, alpha: activations.prelu(x, alpha, *_formats(graph, operator)),
    "QUANTIZE": _quantize,
    "REDUCE_ALL": _reduced_plainly(np.all),
    "REDUCE_MAX": _reduced_plainly(np.max),
    "REDUCE_MIN": _reduced_plainly(np.min),
    "RELU": _between_formats(activations.relu, lambda x: np.maximum(x, np.float32(0))),
    "RELU6": _from_format(activations.relu6, lambda x: np.clip(x, np.float32(0), np.float32(6))),
    "RSQRT": _between_formats(activations.inverse_sqrt),
    "SOFTMAX": _softmax,
    "SQUARE": plain(np.square),
    "SQUARED_DIFFERENCE": _arithmetic(integer.squared_difference, lambda x, y: (x - y) ** 2, fused=False),
    "SUB": _arithmetic(integer.sub, np.subtract),
    "SUM": _reduced(pooling.total),
    "TANH": _from_format(integer.tanh),
    "TRANSPOSE_CONV": _transpose_conv,
} | MOVEMENTS
