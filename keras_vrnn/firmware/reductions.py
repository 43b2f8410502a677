"""Poolings over time, and sums, means and extremes over axes: a loop that combines values, a term that finishes it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vrnn.firmware import terms
from keras_vrnn.firmware.buffers import Unsupported, new
from keras_vrnn.firmware.movements import framed
from keras_vrnn.firmware.nodes import Reduce
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.integer import f32


def _combined(tracer, view, how, sizes, strides):
    """Adds the loop that combines values, and returns the term that reads what it makes; arguments as of `Reduce`."""
    rows, taps, width = sizes
    result = new((rows, width), np.int32 if how == "sum" else view.dtype)
    tracer.add(Reduce(result.buffer, view, how, sizes, strides))
    read = terms.read(result)
    if how == "sum":
        ends = np.iinfo(view.dtype)
        read.low, read.high = terms.inside(taps * int(ends.min), taps * int(ends.max))
    return read


# Axes


def _over_axes(how, finish):
    """An operator that combines neighbouring axes; `finish` makes the term of its result."""

    def apply(tracer, graph, operator, x, axes):
        view = tracer.view(x)
        shape, chosen = view.shape, sorted({int(axis) % len(view.shape) for axis in np.ravel(axes)})
        if not chosen or chosen != list(range(chosen[0], chosen[-1] + 1)):
            raise Unsupported(f"computes {operator.name} over axes that are not neighbours")
        parts = shape[: chosen[0]], shape[chosen[0] : chosen[-1] + 1], shape[chosen[-1] + 1 :]
        rows, taps, width = (int(np.prod(part, dtype=np.int64)) for part in parts)
        source, target = graph.formats[operator.inputs[0]], graph.formats[operator.outputs[0]]
        if source is None or target is None:
            raise Unsupported(f"computes {operator.name} of {view.dtype}")
        read = _combined(tracer, view, how, (rows, taps, width), (taps * width, width))
        term = finish(read, taps, source, target, tracer.limits(graph, operator))
        result = operator.outputs[0]
        return tracer.lazy(term, graph.shapes[result], graph.dtypes[result], None)

    return apply


def _mean(total, count, source, target, limits):
    mantissa, exponent = (int(n) for n in fixed.factor(f32(source.scale) / f32(target.scale)))
    # As in `pooling.mean_of_sums`: the divisor goes into the mantissa, which is shifted to keep its bits.
    shift = min(31 + exponent, 32, count.bit_length() - 1)
    if shift < 0:
        raise Unsupported("computes MEAN with a scale that is too large")
    return _scaled(total, count, (mantissa << shift) // count, exponent - shift, source, target, limits)


def _sum(total, count, source, target, limits):
    mantissa, exponent = (int(n) for n in fixed.factor(f32(source.scale) / f32(target.scale)))
    return _scaled(total, count, mantissa, exponent, source, target, limits)


def _scaled(total, count, mantissa, exponent, source, target, limits):
    centered = terms.plus(total, -int(source.zero_point) * count)
    return terms.clamped(terms.plus(terms.scaled(centered, mantissa, exponent), target.zero_point), limits)


def _extreme(read, _count, source, target, _limits):
    if source != target:
        raise Unsupported("takes the extreme of values into another format")
    return read


# Windows


def _pool(how):
    """A pooling over one axis."""

    def apply(tracer, graph, operator, x):
        options, view = operator.options, tracer.view(x)
        filters = (options.filterHeight, options.filterWidth)
        axis = 1 if view.shape[2] == 1 == filters[1] else 2  # of the values: 0 is the batch
        if view.shape[0] != 1 or (view.shape[3 - axis], filters[2 - axis]) != (1, 1):
            raise Unsupported(f"holds a {operator.name} over more than one axis")
        taps, stride = filters[axis - 1], (options.strideH, options.strideW)[axis - 1]
        rows, channels = graph.shapes[operator.outputs[0]][axis], view.shape[3]
        whole = framed(tracer, view, axis, (taps, stride, 1), rows, np.iinfo(view.dtype).min)
        if how == "sum" and whole is not view:
            raise Unsupported("holds an AVERAGE_POOL_2D with padding of its own")
        read = _combined(tracer, whole, how, (rows, taps, channels), (stride * channels, channels))
        made = _rounded_mean(read, taps, view.dtype) if how == "sum" else read
        made = terms.clamped(made, tracer.limits(graph, operator))
        return tracer.lazy(made, graph.shapes[operator.outputs[0]], view.dtype, None)

    return apply


def _rounded_mean(total, count, dtype):
    """As `pooling.rounded_mean`: halves away from zero. C divides toward zero."""
    ends, half = np.iinfo(dtype), count // 2
    form = f"({{0}} > 0 ? {{0}} + {half} : {{0}} - {half}) / {count}"
    return terms.Term(form, (total,), int(ends.min), int(ends.max))


HANDLERS: dict[str, Callable[..., Any]] = {
    "AVERAGE_POOL_2D": _pool("sum"),
    "MAX_POOL_2D": _pool("max"),
    "MEAN": _over_axes("sum", _mean),
    "REDUCE_MAX": _over_axes("max", _extreme),
    "REDUCE_MIN": _over_axes("min", _extreme),
    "SUM": _over_axes("sum", _sum),
}
