"""Operators that only move values: the place that each value comes from, found by moving the places instead.

The simulation's own function is applied to an array of positions. Where they are consecutive, the result is a view
and nothing is copied.
"""

import numpy as np

from keras_vrnn.firmware.buffers import Counter, Unsupported, View, new
from keras_vrnn.firmware.nodes import Fill, Look, Move, Update, element_strides
from keras_vrnn.tflite.running.simulated_movements import MOVEMENTS

_ONE_SOURCE = [
    "BROADCAST_TO",
    "EXPAND_DIMS",
    "GATHER",
    "RESHAPE",
    "REVERSE_V2",
    "SLICE",
    "SPLIT",
    "SPLIT_V",
    "SQUEEZE",
    "STRIDED_SLICE",
    "TILE",
    "TRANSPOSE",
    "UNPACK",
]


def moved(tracer, graph, operator, arguments):
    """Returns the results of an operator that moves values."""
    name = operator.name
    if name in ("CONCATENATION", "PACK"):
        return [_joined(tracer, graph, operator, arguments)]
    if name in ("PAD", "PADV2"):
        return [_padded(tracer, graph, operator, *arguments)]
    if name == "DYNAMIC_UPDATE_SLICE":
        return [_updated(tracer, graph, operator, *arguments)]
    if name == "GATHER" and isinstance(arguments[1], View):
        return [_looked_up(tracer, graph, operator, *arguments)]
    if name not in _ONE_SOURCE:
        raise Unsupported(f"holds the operator {name} of computed values")
    position = 1 if name == "SPLIT" else 0
    view = tracer.view(arguments[position])
    places = _places(tracer, graph, operator, arguments, position, view)
    return [taken(tracer, view, *pair) for pair in places]


def _places(tracer, graph, operator, arguments, position, view):
    """Returns for each result where its values lie in the view in the first turn, and how much further in the next."""
    index = np.arange(view.size).reshape(view.shape)

    def at(turn):
        given = [a.at(turn) if isinstance(a, Counter) else a for a in arguments]
        if any(not (a is None or isinstance(a, np.ndarray)) for k, a in enumerate(given) if k != position):
            raise Unsupported(f"holds a {operator.name} at computed positions")
        given[position] = index
        results = MOVEMENTS[operator.name](graph, operator, *given)
        return [np.asarray(r) for r in (results if isinstance(results, list) else [results])]

    turns = tracer.turns if any(isinstance(a, Counter) for a in arguments) else 1
    first, following, last = at(0), at(min(1, turns - 1)), at(turns - 1)
    pairs = []
    for one, two, end in zip(first, following, last, strict=True):
        slopes = np.unique(two - one)
        if one.size and (len(slopes) > 1 or not np.array_equal(one + slopes[0] * (turns - 1), end)):
            raise Unsupported(f"holds a {operator.name} whose positions do not grow evenly")
        pairs.append((one, int(slopes[0]) if one.size else 0))
    return pairs


def taken(tracer, view, places, slope):
    """Returns the values at places of a view."""
    if slope and view.slope:
        raise Unsupported("moves along two loops at once")
    flat = places.reshape(-1)
    first = int(flat[0]) if flat.size else 0
    start = View(view.buffer, places.shape, view.offset + first, view.slope + slope)
    if np.array_equal(flat, first + np.arange(flat.size)):
        return start
    strides = []
    for axis, size in enumerate(places.shape):
        corner = [0] * places.ndim
        corner[axis] = min(1, size - 1)
        strides.append(int(places[tuple(corner)]) - first)
    grid = np.indices(places.shape)
    if not np.array_equal(first + sum(s * g for s, g in zip(strides, grid, strict=True)), places):
        return _piecewise(tracer, view, places, slope)
    target = new(places.shape, view.dtype)
    tracer.add(Move(start, target, places.shape, tuple(strides), element_strides(places.shape)))
    return target


def _piecewise(tracer, view, places, slope):
    """Copies places that no strides describe, row after row."""
    target = new(places.shape, view.dtype)
    rows, width = places.reshape(-1, places.shape[-1]), places.shape[-1]
    for k, row in enumerate(rows):
        step = int(row[1] - row[0]) if width > 1 else 1
        if not np.array_equal(row, row[0] + step * np.arange(width)):
            raise Unsupported("moves values in an irregular order")
        source = View(view.buffer, (width,), view.offset + int(row[0]), view.slope + slope)
        part = View(target.buffer, (width,), k * width)
        tracer.add(Move(source, part, (width,), (step,), (1,)))
    return target


def _joined(tracer, graph, operator, parts):
    shape, axis = graph.shapes[operator.outputs[0]], operator.options.axis
    axis = axis + len(shape) if axis < 0 else axis
    views = [tracer.view(part) for part in parts]
    if operator.name == "PACK":
        views = [view.reshaped((*view.shape[:axis], 1, *view.shape[axis:])) for view in views]
    target, strides, start = new(shape, views[0].dtype), element_strides(shape), 0
    for view in views:
        place = View(target.buffer, view.shape, start * strides[axis])
        tracer.add(Move(view, place, view.shape, element_strides(view.shape), strides))
        start += view.shape[axis]
    return target


def _padded(tracer, graph, operator, x, paddings, value=None):
    target_format = graph.formats[operator.outputs[0]]
    view, shape = tracer.view(x), graph.shapes[operator.outputs[0]]
    if value is None:
        value = np.array(0 if target_format is None else target_format.zero_point)
    if not isinstance(value, np.ndarray):
        raise Unsupported("pads with a computed value")
    target, strides = new(shape, view.dtype), element_strides(shape)
    tracer.add(Fill(target.buffer, int(np.ravel(value)[0])))
    start = sum(int(before) * s for (before, _), s in zip(paddings, strides, strict=True))
    place = View(target.buffer, view.shape, start)
    tracer.add(Move(view, place, view.shape, element_strides(view.shape), strides))
    return target


def framed(tracer, view, axis, window, rows, value):
    """Returns (batch, height, width, channels) with what windows along an axis read beyond its ends.

    Args:
        view: the values.
        axis: 1 or 2; the other has the length 1.
        window: taps, stride and dilation.
        rows: the number of windows; "SAME" has more than fit.
        value: what lies beyond the ends.
    """
    taps, stride, dilation = window
    beyond = (rows - 1) * stride + (taps - 1) * dilation + 1 - view.shape[axis]
    if beyond <= 0:
        return view
    shape, strides = list(view.shape), element_strides(view.shape)
    shape[axis] += beyond
    target = new(shape, view.dtype)
    tracer.add(Fill(target.buffer, int(value)))
    # As in `windows.Window.before`: an odd one more is at the end.
    place = View(target.buffer, view.shape, beyond // 2 * strides[axis])
    tracer.add(Move(view, place, view.shape, strides, element_strides(shape)))
    return target


def _updated(tracer, graph, operator, target, part, position):
    target, part = tracer.view(target), tracer.view(part)
    strides = element_strides(target.shape)

    def at(turn):
        starts = position.at(turn) if isinstance(position, Counter) else position
        if not isinstance(starts, np.ndarray):
            raise Unsupported("holds a DYNAMIC_UPDATE_SLICE at a computed position")
        parts = zip(starts, target.shape, part.shape, strides, strict=True)
        return sum(min(max(int(p), 0), n - k) * s for p, n, k, s in parts)

    turns = tracer.turns if isinstance(position, Counter) else 1
    first = at(0)
    slope = at(min(1, turns - 1)) - first
    if at(turns - 1) != first + slope * (turns - 1):
        raise Unsupported("holds a DYNAMIC_UPDATE_SLICE whose position does not grow evenly")
    result = new(target.shape, target.dtype)
    place = View(result.buffer, part.shape, first, slope)
    tracer.add(Update(result.buffer, target, part, place, strides))
    return result


def _looked_up(tracer, graph, operator, table, index):
    options = operator.options
    if not isinstance(table, np.ndarray) or options.axis % table.ndim or options.batchDims:
        raise Unsupported(
            "holds a GATHER that chooses from computed values, or along another axis than the first"
        )
    if index.dtype != np.int32:
        raise Unsupported(f"holds a GATHER by {index.dtype}")
    result = new(graph.shapes[operator.outputs[0]], table.dtype)
    width = int(np.prod(table.shape[1:], dtype=np.int64))
    tracer.add(Look(result.buffer, tracer.constant(table), index, len(table), width))
    return result
