"""The operators of the simulation: an operator of a file, its options and formats → the function that computes it.

Each entry of `OPERATORS` takes (graph, operator, *arguments) and returns the result, or a list of results. Needs NumPy
only.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization import activations, convolution, integer, pooling, softmax
from keras_vrnn.quantization.windows import Window

_FUSED = {
    schema.ActivationFunctionType.NONE: None,
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}


def _formats(graph, operator):
    return [None if i < 0 else graph.formats[i] for i in (*operator.inputs, operator.outputs[0])]


def _dtype(graph, operator):
    return graph.dtypes[operator.outputs[0]]


def _shape(graph, operator):
    return graph.shapes[operator.outputs[0]]


def _fused(operator):
    return _FUSED[operator.options.fusedActivationFunction]


def _narrow(operator):
    """Whether sums have 32 bits; a bias settles it otherwise."""
    return getattr(operator.options, "quantizedBiasType", None) == schema.TensorType.INT32


# Products


def _fully_connected(graph, operator, x, weights, bias=None):
    source, weights_format, *_, target = _formats(graph, operator)
    x = x.reshape(-1, weights.shape[-1])
    made = integer.fully_connected(
        x, weights, bias, source, weights_format, target, _fused(operator), bias is None and _narrow(operator)
    )
    return made.reshape(_shape(graph, operator))


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
        x, weights, bias, source, weights_format, target, window, _fused(operator), narrow
    )


def _depthwise_conv(graph, operator, x, weights, bias=None):
    source, weights_format, *_, target = _formats(graph, operator)
    window = _window(operator.options, weights.shape[1:3])
    return convolution.depthwise_conv(
        x, weights, bias, source, weights_format, target, window, _fused(operator)
    )


def _transpose_conv(graph, operator, shape, weights, x, bias=None):
    _, weights_format, source, *_, target = _formats(graph, operator)
    window = _window(operator.options, weights.shape[1:3])
    image = tuple(int(n) for n in shape[1:3])
    return convolution.transpose_conv(
        x, weights, bias, source, weights_format, target, window, image, _fused(operator)
    )


# Two operands


def _arithmetic(function, plain, fused=True):
    """An operator of two quantized tensors by `function`, and of two others by `plain`."""

    def apply(graph, operator, x, y):
        *operands, target = _formats(graph, operator)
        if target is None:
            made = plain(x, y)
            return made if not fused else _clamp_real(made, _fused(operator))
        x, y = np.broadcast_arrays(x, y)
        return function(x, y, *operands, target, *([_fused(operator)] if fused else []))

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


def _from_format(function, *plain):
    """An operator that needs the format of its input alone; float numbers by `plain`."""

    def apply(graph, operator, x):
        source = graph.formats[operator.inputs[0]]
        return plain[0](x) if plain and x.dtype == np.float32 else function(x, source)

    return apply


def _between_formats(function, *plain):
    """An operator that needs the formats of its input and of its result; float numbers by `plain`."""

    def apply(graph, operator, x):
        source, target = _formats(graph, operator)
        return plain[0](x) if plain and x.dtype == np.float32 else function(x, source, target)

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
    return softmax.softmax(x, graph.formats[operator.inputs[0]], operator.options.beta)


def _quantize(graph, operator, x):
    source, target = _formats(graph, operator)
    if x.dtype == np.float32:
        return integer.quantize(x, target, _dtype(graph, operator))
    return integer.requantize(x, source, target, _dtype(graph, operator))


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
        return function(x, graph.formats[operator.outputs[0]], window, _fused(operator))

    return apply


def _axes(x, axes):
    return tuple(sorted({int(axis) % x.ndim for axis in np.ravel(axes)}))


def _reduced(function):
    def apply(graph, operator, x, axes):
        source, _, target = _formats(graph, operator)
        return function(x, _axes(x, axes), source, target).reshape(_shape(graph, operator))

    return apply


def _reduced_plainly(function):
    return lambda graph, operator, x, axes: function(x, axis=_axes(x, axes)).reshape(_shape(graph, operator))


# Movements


def _gather(graph, operator, x, index):
    axis, batch = operator.options.axis, operator.options.batchDims
    axis = axis + x.ndim if axis < 0 else axis
    if index.size and not (0 <= index.min() and index.max() < x.shape[axis]):
        raise ValueError(
            f"`x` must hold integers from 0 to {x.shape[axis] - 1} where they choose from a table of that length. "
            f"Received: {index.min()} to {index.max()}"
        )
    if batch == 0:
        return np.take(x, index, axis=axis)
    rows = [np.take(a, i, axis=axis - 1) for a, i in zip(x, index, strict=True)]
    if batch > 1:
        raise ValueError("`path` must be a file whose GATHER has at most one batch axis")
    return np.stack(rows)


def _slice(graph, operator, x, begin, size):
    ends = [b + s if s >= 0 else n for b, s, n in zip(begin, size, x.shape, strict=True)]
    return x[tuple(slice(b, e) for b, e in zip(begin, ends, strict=True))]


def _strided_slice(graph, operator, x, begin, end, strides):
    options = operator.options
    slices = []
    for axis, (first, last, step) in enumerate(zip(begin, end, strides, strict=True)):
        bit = 1 << axis
        if options.offset:
            last = first + last
        if options.shrinkAxisMask & bit:
            first = int(first) % x.shape[axis]
            slices.append(slice(first, first + 1))
            continue
        slices.append(
            slice(
                None if options.beginMask & bit else int(first),
                None if options.endMask & bit else int(last),
                int(step),
            )
        )
    return x[tuple(slices)].reshape(_shape(graph, operator))


def _pad(graph, operator, x, paddings, value=None):
    target = graph.formats[operator.outputs[0]]
    if value is None:
        value = 0 if target is None else target.zero_point
    return np.pad(x, [tuple(map(int, pair)) for pair in paddings], constant_values=np.ravel(value)[0])


def _update(graph, operator, target, part, position):
    # The start is moved so that the part fits, as in XLA.
    start = [min(max(p, 0), n - k) for p, n, k in zip(position, target.shape, part.shape, strict=True)]
    target = target.copy()
    target[tuple(slice(p, p + k) for p, k in zip(start, part.shape, strict=True))] = part
    return target


def _concatenate(graph, operator, *parts):
    return np.concatenate(parts, axis=operator.options.axis)


def _split(graph, operator, axis, x):
    return np.split(x, operator.options.numSplits, axis=int(np.ravel(axis)[0]))


def _split_by_sizes(graph, operator, x, sizes, axis):
    return np.split(x, np.cumsum(sizes)[:-1], axis=int(np.ravel(axis)[0]))


def _unpack(graph, operator, x):
    return list(np.moveaxis(x, operator.options.axis, 0))


def _reshape(graph, operator, x, *_):
    return x.reshape(_shape(graph, operator))


def _cast(graph, operator, x):
    return x.astype(_dtype(graph, operator))


def _plain(function):
    """An operator that moves or compares values without looking at formats or options."""
    return lambda graph, operator, *arguments: function(*arguments)


OPERATORS = {
    "ABS": _between_formats(activations.absolute, np.abs),
    "ADD": _arithmetic(integer.add, np.add),
    "AVERAGE_POOL_2D": _pool(pooling.average_pool),
    "BATCH_MATMUL": _batch_matmul,
    "BROADCAST_TO": _plain(lambda x, shape: np.broadcast_to(x, tuple(shape))),
    "CAST": _cast,
    "CONCATENATION": _concatenate,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise_conv,
    "DEQUANTIZE": _dequantize,
    "DIV": _arithmetic(integer.div, np.divide),
    "DYNAMIC_UPDATE_SLICE": _update,
    "ELU": _between_formats(activations.elu, _elu_real),
    "EQUAL": _comparison(np.equal),
    "EXPAND_DIMS": _reshape,
    "FILL": _plain(lambda shape, value: np.full(tuple(shape), value)),
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _gather,
    "GREATER": _comparison(np.greater),
    "GREATER_EQUAL": _comparison(np.greater_equal),
    "HARD_SWISH": _between_formats(activations.hard_swish),
    "L2_NORMALIZATION": _between_formats(activations.l2_normalization),
    "LEAKY_RELU": _leaky_relu,
    "LESS": _comparison(np.less),
    "LESS_EQUAL": _comparison(np.less_equal),
    "LOGICAL_AND": _plain(np.logical_and),
    "LOGICAL_NOT": _plain(np.logical_not),
    "LOGICAL_OR": _plain(np.logical_or),
    "LOGISTIC": _from_format(integer.logistic),
    "LOG_SOFTMAX": _from_format(softmax.log_softmax),
    "MAXIMUM": _plain(np.maximum),
    "MAX_POOL_2D": _pool(pooling.max_pool),
    "MEAN": _reduced(pooling.mean),
    "MINIMUM": _plain(np.minimum),
    "MUL": _arithmetic(integer.mul, np.multiply),
    "NEG": _plain(np.negative),
    "NOT_EQUAL": _comparison(np.not_equal),
    "PACK": lambda graph, operator, *parts: np.stack(parts, axis=operator.options.axis),
    "PAD": _pad,
    "PADV2": _pad,
    "PRELU": lambda graph, operator, x, alpha: activations.prelu(x, alpha, *_formats(graph, operator)),
    "QUANTIZE": _quantize,
    "REDUCE_ALL": _reduced_plainly(np.all),
    "REDUCE_MAX": _reduced_plainly(np.max),
    "REDUCE_MIN": _reduced_plainly(np.min),
    "RELU": _between_formats(activations.relu, lambda x: np.maximum(x, np.float32(0))),
    "RELU6": _from_format(activations.relu6, lambda x: np.clip(x, np.float32(0), np.float32(6))),
    "RESHAPE": _reshape,
    "REVERSE_V2": _plain(lambda x, axes: np.flip(x, axis=tuple(np.ravel(axes)))),
    "RSQRT": _between_formats(activations.inverse_sqrt),
    "SELECT_V2": _plain(np.where),
    "SHAPE": lambda graph, operator, x: np.array(x.shape, _dtype(graph, operator)),
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SPLIT_V": _split_by_sizes,
    "SQUARE": _plain(np.square),
    "SQUARED_DIFFERENCE": _arithmetic(integer.squared_difference, lambda x, y: (x - y) ** 2, fused=False),
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _arithmetic(integer.sub, np.subtract),
    "SUM": _reduced(pooling.total),
    "TANH": _from_format(integer.tanh),
    "TILE": _plain(lambda x, repeats: np.tile(x, tuple(repeats))),
    "TRANSPOSE": _plain(lambda x, order: np.transpose(x, tuple(order))),
    "TRANSPOSE_CONV": _transpose_conv,
    "UNPACK": _unpack,
    "ZEROS_LIKE": _plain(np.zeros_like),
}

# Operators that give the same float32 numbers everywhere: they move values, or round once for each.
FLOAT = {
    *("ABS", "ADD", "BROADCAST_TO", "CAST", "CONCATENATION", "DEQUANTIZE", "DIV", "ELU", "EXPAND_DIMS", "FILL"),
    *("LEAKY_RELU", "MAXIMUM", "MINIMUM", "MUL", "NEG", "PACK", "PAD", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6"),
    *("RESHAPE", "REVERSE_V2", "SELECT_V2", "SLICE", "SPLIT", "SQUARE", "SQUARED_DIFFERENCE", "SQUEEZE"),
    *("STRIDED_SLICE", "SUB", "TRANSPOSE", "UNPACK"),
}
