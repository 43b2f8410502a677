"""FULLY_CONNECTED and CONV_2D: the layout of their weights, and the terms that finish a sum.

A kernel computes four columns at a time. Weights lie in blocks of four columns by four inputs, or by eight inputs of 4
bits, so that one pointer runs through them; missing ones are zero.

The zero point of x goes into the bias: Σ (x − z)·w + b = Σ x·w + (b − z·Σ w).
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.firmware import terms
from keras_vrnn.firmware.buffers import Buffer, Unsupported, new
from keras_vrnn.firmware.movements import framed
from keras_vrnn.firmware.nodes import Move, Product, element_strides
from keras_vrnn.firmware.terms import Sum
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import packed

BLOCK = 4
# SXTB16 takes the bytes 0 and 2 of a word. Values of int16 come in pairs of neighbours, so their weights are swapped.
# Of 4 bits, the weights of the inputs k and k + 4 share a byte.
_ORDERS = {"sums8": [0, 1, 2, 3], "sums16": [0, 2, 1, 3], "sums4": [0, 4, 1, 5, 2, 6, 3, 7]}


def fully_connected(tracer, graph, operator, x, weights, bias=None):
    """FULLY_CONNECTED."""
    inputs = weights.shape[-1]
    view = tracer.view(x)
    return _product(
        tracer, graph, operator, view, weights, bias, (view.size // inputs, inputs, inputs), single=True
    )


def conv(tracer, graph, operator, x, weights, bias=None):
    """CONV_2D over time alone."""
    options, (_, height, size, channels) = operator.options, weights.shape
    view = tracer.view(x)
    if height != 1 or view.shape[:2] != (1, 1) or view.shape[3] != channels:
        raise Unsupported("holds a CONV_2D over more than one axis, or of groups")
    stride, gap = options.strideW, options.dilationWFactor
    rows, inputs = graph.shapes[operator.outputs[0]][2], size * channels
    zero = graph.formats[operator.inputs[0]].zero_point
    view = framed(tracer, view, 2, (size, stride, gap), rows, zero)
    step = stride * channels
    if gap > 1 and size > 1:  # the kernel reads neighbours
        windows = new((rows, size, channels), view.dtype)
        strides = (step, gap * channels, 1)
        tracer.add(Move(view, windows, windows.shape, strides, element_strides(windows.shape)))
        view, step = windows, inputs
    weights = weights.reshape(len(weights), inputs)
    return _product(tracer, graph, operator, view, weights, bias, (rows, step, inputs), single=False)


def _product(tracer, graph, operator, view, weights, bias, sizes, single):
    rows, stride, inputs = sizes
    source, weights_format = (graph.formats[i] for i in operator.inputs[:2])
    target, dtype = graph.formats[operator.outputs[0]], graph.dtypes[operator.outputs[0]]
    if not isinstance(weights, np.ndarray) or not (bias is None or isinstance(bias, np.ndarray)):
        raise Unsupported(f"holds a {operator.name} of computed weights")
    narrow = getattr(operator.options, "quantizedBiasType", None) == schema.TensorType.INT32
    long = dtype == np.int16 and not (narrow if bias is None else bias.dtype == np.int32)
    wide = weights.astype(np.int64)
    start = -int(source.zero_point) * wide.sum(axis=1) + (0 if bias is None else bias.astype(np.int64))
    bounds = _bounds(wide, start, view.dtype)
    kernel = "sums8" if view.dtype == np.int8 else "sums16"
    # The DSP form of the kernel of 4 bits adds 16 times each product.
    small = 16 * max(-bounds[0].min(), bounds[1].max()) <= fixed.INT32_MAX
    if kernel == "sums8" and graph.types[operator.inputs[1]] == schema.TensorType.INT4 and small:
        kernel = "sums4"
    stored = tracer.constant(blocks(weights, kernel)).buffer
    padded = np.zeros(-(-len(weights) // BLOCK) * BLOCK, np.int32)
    padded[: len(start)] = start
    sums = Buffer(np.dtype(np.int32), len(padded))
    row = Buffer(view.dtype, -(-inputs // len(_ORDERS[kernel])) * len(_ORDERS[kernel]))
    product = Product(
        view, rows, stride, inputs, len(weights), stored, tracer.constant(padded).buffer, sums, row, kernel
    )
    total = Sum("", (), int(bounds[0].min()), int(bounds[1].max()), product=product)
    reals = integer.product_factors(source, weights_format, target, single)
    made = _brought(tracer, total, bounds, reals, long)
    limits = tracer.limits(graph, operator)
    term = terms.clamped(terms.plus(made, target.zero_point), limits)
    return tracer.lazy(term, graph.shapes[operator.outputs[0]], dtype, (rows, len(weights)))


def _bounds(weights, start, dtype):
    """Returns the least and the largest sum of each column, which no partial sum leaves either."""
    ends = np.iinfo(dtype)
    below, above = np.minimum(weights, 0).sum(axis=1), np.maximum(weights, 0).sum(axis=1)
    low = below * ends.max + above * ends.min + np.minimum(start, 0)
    high = above * ends.max + below * ends.min + np.maximum(start, 0)
    if low.min() < fixed.INT32_MIN or high.max() > fixed.INT32_MAX:
        raise Unsupported("computes sums of products that overflow 32 bits")
    return low, high


def _brought(tracer, total, bounds, reals, long):
    """The sum in the scale of the result."""
    mantissas, exponents = (np.atleast_1d(n) for n in fixed.factor(reals))
    if len(mantissas) == 1:
        return (terms.scaled_long if long else terms.scaled)(total, mantissas[0], exponents[0])
    if long:
        multipliers = np.where(mantissas < 0x7FFF0000, (mantissas + (1 << 15)) >> 16, 0x7FFF)
        shifts = 15 - exponents
        if shifts.min() < 1 or shifts.max() > 62:
            raise Unsupported("multiplies sums of int16 by more than 2^14")
        ends = [(n * multipliers + (1 << (shifts - 1))) >> shifts for n in bounds]
    else:
        multipliers, shifts = mantissas, exponents
        ends = [fixed.scale(n, mantissas, exponents) for n in bounds]
    make = terms.scaled_long_by_column if long else terms.scaled_by_column
    made = make(total, multipliers, shifts, lambda array: terms.read(tracer.constant(array), "column"))
    overflows = not long and (np.maximum(*map(np.abs, bounds)) << np.maximum(exponents, 0)).max() > 2**31 - 1
    if not overflows:
        made.low, made.high = int(ends[0].min()), int(ends[1].max())
    return made


def blocks(weights, kernel):
    """Returns weights (units, inputs) as a kernel reads them: blocks of four units by as many inputs as it takes."""
    order = _ORDERS[kernel]
    units, inputs = (-(-n // size) * size for n, size in zip(weights.shape, (BLOCK, len(order)), strict=True))
    padded = np.zeros((units, inputs), np.int8)
    padded[: weights.shape[0], : weights.shape[1]] = weights
    grouped = padded.reshape(units // BLOCK, BLOCK, inputs // len(order), len(order))[..., order]
    made = np.ascontiguousarray(grouped.transpose(0, 2, 1, 3)).reshape(-1)
    return packed(made) if kernel == "sums4" else made
