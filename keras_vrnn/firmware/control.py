"""Loops and variables of a file."""

import numpy as np

from keras_vrnn.firmware.buffers import Buffer, Counter, Unknown, Unsupported, View, new
from keras_vrnn.firmware.nodes import Carry, Compute, Loop
from keras_vrnn.tflite.reading import text
from keras_vrnn.tflite.running.simulated_operators import OPERATORS

_MOST_TURNS = 1 << 20


def _while(tracer, graph, operator, arguments):
    options = operator.options
    if tracer.turns != 1:
        raise Unsupported("holds a WHILE inside of a WHILE")
    turns, counters, count = _turns(tracer, options.condSubgraphIndex, options.bodySubgraphIndex, arguments)
    body = tracer.graphs[options.bodySubgraphIndex]
    carries: dict[int, list] = {}
    inputs = []
    for k, value in enumerate(arguments):
        if k in counters:
            inputs.append(counters[k])
        elif body.outputs[k] == body.inputs[k]:
            inputs.append(value if isinstance(value, np.ndarray) else tracer.view(value))
        elif isinstance(value, Counter):
            raise Unsupported("uses the counter of a loop as a number")
        else:
            initial = tracer.view(value)
            carries[k] = [new(initial.shape, initial.dtype), initial]
            inputs.append(carries[k][0])
    outside, tracer.nodes, tracer.turns = tracer.nodes, [], turns
    results = tracer.run(options.bodySubgraphIndex, inputs)
    following = settled_ends(tracer, {k: (held, tracer.view(results[k])) for k, (held, _) in carries.items()})
    tracer.nodes, inside, tracer.turns = outside, tracer.nodes, 1
    carried = [Carry(held, initial, following[k]) for k, (held, initial) in carries.items()]
    tracer.add(Loop(turns, inside, carried, count))
    made = []
    for k, value in enumerate(inputs):
        if k in counters:
            made.append(counters[k].at(turns) if count is None else Unknown())
        else:
            made.append(carries[k][0] if k in carries else value)
    return made


def settled_ends(tracer, pairs):
    """Returns the values at the end of a turn, which are then copied to where the next turn reads them.

    A value that lies in memory which one of those copies overwrites is copied first.

    Args:
        pairs: key -> (where the next turn reads it, the value).
    """
    following = {}
    for key, (held, value) in pairs.items():
        own = value.buffer is held.buffer
        moves = value.slope != 0 or value.dtype != held.dtype
        others = any(value.buffer is other.buffer for k, (other, _) in pairs.items() if k != key)
        following[key] = tracer.copied(value) if others or moves or (own and not value.whole) else value
    return following


def _turns(tracer, condition, body, arguments):
    """Returns how many turns a loop takes, its counters by position, and the view that limits the turns, or None."""
    graph, test = tracer.graphs[body], tracer.graphs[condition]
    counters = {}
    for k, (before, after) in enumerate(zip(graph.inputs, graph.outputs, strict=True)):
        made = next((o for o in graph.operators if after in o.outputs), None)
        start = arguments[k]
        if made is None or made.name != "ADD" or not isinstance(start, np.ndarray) or start.dtype != np.int32:
            continue
        others = [i for i in made.inputs if i != before]
        if len(others) == 1 and others[0] in graph.constants:
            step = np.broadcast_to(graph.constants[others[0]].astype(np.int64), start.shape)
            counters[k] = Counter(start.astype(np.int64), step)
    operators = test.operators
    places = {index: k for k, index in enumerate(test.inputs)}
    plain = len(operators) == 1 and operators[0].outputs == test.outputs and operators[0].name in OPERATORS
    if plain and operators[0].name == "LESS":
        limit = _limit(tracer, graph, [places.get(i) for i in operators[0].inputs], counters, arguments)
        if limit is not None:
            return limit[0], counters, limit[1]
    if not plain or not all(i in test.constants or places.get(i) in counters for i in operators[0].inputs):
        raise Unsupported("holds a WHILE whose number of turns depends on data")
    operator = operators[0]
    for turn in range(_MOST_TURNS):
        values = [
            test.constants[i] if i in test.constants else counters[places[i]].at(turn)
            for i in operator.inputs
        ]
        if not np.all(OPERATORS[operator.name](test, operator, *values)):
            return turn, counters, None
    raise Unsupported(f"holds a WHILE of more than {_MOST_TURNS} turns")


def _limit(tracer, body, places, counters, arguments):
    """Returns the largest number of turns and the view of the number, of a loop from 0 to a number that it gets."""
    counter, number = places
    if counter not in counters or number in (None, counter) or body.outputs[number] != body.inputs[number]:
        return None
    start, step = counters[counter].base, counters[counter].slope
    view = arguments[number] = tracer.view(arguments[number])
    computed = [
        node.term for node in tracer.nodes if isinstance(node, Compute) and node.result is view.buffer
    ]
    one = start.size == 1 and not start.any() and (step == 1).all()
    if not one or not computed or not 0 < computed[0].high <= _MOST_TURNS:
        return None
    return computed[0].high, view


def counted(arguments):
    """Returns a counter plus a constant."""
    counter, other = sorted(arguments, key=lambda a: not isinstance(a, Counter))
    if not isinstance(other, np.ndarray):
        raise Unsupported("adds a computed value to the counter of a loop")
    base = counter.base + other
    return Counter(base, np.broadcast_to(counter.slope, base.shape))


def _call_once(tracer, graph, operator, arguments):
    """Gives the variables their memory; they begin with what the graph of the reset computes from constants."""
    tracer.run(operator.options.initSubgraphIndex, [])
    for number, (name, value) in enumerate(tracer.variables.items()):
        if not isinstance(value, np.ndarray):
            raise Unsupported("starts a variable with a computed value")
        memory = Buffer(value.dtype, value.size, "state", f"state_{number}", value.reshape(-1))
        tracer.states[name] = tracer.variables[name] = View(memory, value.shape)
    return []


def _assign(tracer, graph, operator, arguments):
    name, value = arguments
    if tracer.turns != 1:
        raise Unsupported("assigns a variable inside of a WHILE")
    tracer.variables[name] = value if not tracer.states else tracer.view(value)
    return []


def _read(tracer, graph, operator, arguments):
    return [tracer.variables[arguments[0]]]


HANDLERS = {
    "WHILE": _while,
    "CALL_ONCE": _call_once,
    "VAR_HANDLE": lambda tracer, graph, operator, arguments: [text(operator.options.sharedName)],
    "READ_VARIABLE": _read,
    "ASSIGN_VARIABLE": _assign,
}
