"""Operators of single elements as terms; see `terms` for their arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vrnn.firmware import terms
from keras_vrnn.firmware.buffers import Counter, Unsupported, View
from keras_vrnn.firmware.movements import taken
from keras_vrnn.quantization import integer
from keras_vrnn.tflite.running.simulated_operators import fused_activation


def _joined(tracer, graph, operator, values, make):
    """Returns the lazy result of an operator; `make` takes the terms of its operands."""
    shape, dtype = graph.shapes[operator.outputs[0]], graph.dtypes[operator.outputs[0]]
    parts, nest = [], None
    for value in values:
        part, own = _operand(tracer, value, tuple(shape))
        if own is not None and nest not in (None, own):  # two loops of different form: one ends here
            part, own = terms.read(_whole(tracer, value, tuple(shape))), None
        parts.append(part)
        nest = nest or own
    return tracer.lazy(make(*parts), shape, dtype, nest)


def _operand(tracer, value, shape):
    """Returns the term that reads an operand, and the rows and columns that it needs."""
    if isinstance(value, np.ndarray) and value.size == 1:
        return terms.number(value.item()), None
    if isinstance(value, Counter):
        raise Unsupported("uses the counter of a loop as a number")
    if hasattr(value, "table"):
        value = tracer.settled(value)
    count = int(np.prod(shape, dtype=np.int64))
    if hasattr(value, "term"):
        if int(np.prod(value.shape, dtype=np.int64)) == count:
            return value.term, value.nest
        value = tracer.view(value)
    view = value if isinstance(value, View) else tracer.view(value)
    if view.size == count:
        return terms.read(view), None
    if view.size == 1:
        return terms.read(view, "one"), None
    places = np.broadcast_to(np.arange(view.size).reshape(view.shape), shape).reshape(-1)
    i, times = np.arange(count), count // view.size
    if np.array_equal(places, i % view.size):
        return terms.read(view, "column"), (times, view.size)
    if np.array_equal(places, i // times):
        return terms.read(view, "row"), (view.size, times)
    return terms.read(_whole(tracer, view, shape)), None


def _whole(tracer, value, shape):
    """Returns a value in memory, in all elements of a shape."""
    view = tracer.view(value)
    places = np.broadcast_to(np.arange(view.size).reshape(view.shape), shape)
    return taken(tracer, view, places, 0)


def _formats(graph, operator):
    return [None if i < 0 else graph.formats[i] for i in (*operator.inputs, operator.outputs[0])]


def _arithmetic(tracer, graph, operator, x, y):
    formats, dtype = _formats(graph, operator), graph.dtypes[operator.outputs[0]]
    activation = fused_activation(operator)
    if dtype == np.int32 and activation is None:  # plain numbers, whatever they stand for
        return _joined(tracer, graph, operator, (x, y), lambda a, b: terms.plain(operator.name, a, b))
    if None in formats:
        raise Unsupported(f"computes {operator.name} of {dtype}")
    limits = tracer.limits(graph, operator)
    if operator.name == "MUL":
        return _joined(tracer, graph, operator, (x, y), lambda a, b: terms.mul(a, b, formats, limits))
    minus = operator.name == "SUB"
    return _joined(
        tracer, graph, operator, (x, y), lambda a, b: terms.add(a, b, formats, dtype, limits, minus)
    )


def _rescaling(tracer, graph, operator, x):
    """QUANTIZE and RELU, of int16 or to it."""
    source, target = _formats(graph, operator)
    dtype = graph.dtypes[operator.outputs[0]]
    if source is None or target is None:
        raise Unsupported(f"computes {operator.name} of real numbers")
    limits = terms.limits_of(target, dtype, "RELU" if operator.name == "RELU" else None)
    return _joined(tracer, graph, operator, (x,), lambda a: terms.rescaled(a, source, target, limits))


def _relu6(tracer, graph, operator, x):
    source, _ = _formats(graph, operator)
    limits = terms.limits_of(source, graph.dtypes[operator.outputs[0]], "RELU6")
    return _joined(tracer, graph, operator, (x,), lambda a: terms.clamped(a, limits))


def _curve(tracer, graph, operator, x):
    source, _ = _formats(graph, operator)
    return _joined(tracer, graph, operator, (x,), lambda a: terms.curve(operator.name, a, source))


_CHOICES = {
    "EQUAL": "{0} == {1}",
    "GREATER": "{0} > {1}",
    "GREATER_EQUAL": "{0} >= {1}",
    "LESS": "{0} < {1}",
    "LESS_EQUAL": "{0} <= {1}",
    "LOGICAL_AND": "{0} != 0 && {1} != 0",
    "LOGICAL_OR": "{0} != 0 || {1} != 0",
    "NOT_EQUAL": "{0} != {1}",
}


def _comparison(tracer, graph, operator, x, y):
    formats = _formats(graph, operator)[:2]
    if not operator.name.startswith("LOGICAL") and None not in formats and not _alike(*formats):
        raise Unsupported(f"computes {operator.name} of tensors in different formats")
    form = _CHOICES[operator.name]
    return _joined(tracer, graph, operator, (x, y), lambda a, b: terms.Term(form, (a, b), 0, 1))


def _alike(x, y):
    """Whether comparisons of int8 values are those of their integers: kernels compare rounded real values."""
    if x != y:
        return False
    return bool((np.diff(integer.comparable(np.arange(-128, 128), x)) > 0).all())


def _extreme(tracer, graph, operator, x, y):
    sign, choose = (">", max) if operator.name == "MAXIMUM" else ("<", min)

    def make(a, b):
        return terms.Term(
            f"{{0}} {sign} {{1}} ? {{0}} : {{1}}", (a, b), choose(a.low, b.low), choose(a.high, b.high)
        )

    return _joined(tracer, graph, operator, (x, y), make)


def _select(tracer, graph, operator, condition, yes, no):
    def make(c, a, b):
        return terms.Term("{0} != 0 ? {1} : {2}", (c, a, b), min(a.low, b.low), max(a.high, b.high))

    return _joined(tracer, graph, operator, (condition, yes, no), make)


def _cast(tracer, graph, operator, x):
    target = graph.dtypes[operator.outputs[0]]
    if target not in (np.int8, np.int16, np.int32, np.bool_):
        raise Unsupported(f"holds a tensor of {target} between its operators")

    def make(a):
        low, high = (0, 1) if target == np.bool_ else (np.iinfo(target).min, np.iinfo(target).max)
        if a.low < low or a.high > high:
            raise Unsupported(f"casts integers to {target}, which is too small for them")
        return a

    return _joined(tracer, graph, operator, (x,), make)


HANDLERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("ADD", "MUL", "SUB"), _arithmetic),
    **dict.fromkeys(("QUANTIZE", "RELU"), _rescaling),
    **dict.fromkeys(("LOGISTIC", "TANH"), _curve),
    **dict.fromkeys(_CHOICES, _comparison),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), _extreme),
    "CAST": _cast,
    "RELU6": _relu6,
    "SELECT_V2": _select,
}
