"""Loops and variables of a file."""

import numpy as np

from keras_vrnn.firmware.buffers import Buffer, Counter, Unsupported, View, new
from keras_vrnn.firmware.nodes import Carry, Loop
from keras_vrnn.tflite.reading import text
from keras_vrnn.tflite.running.simulated_operators import OPERATORS

_MOST_TURNS = 1 << 20


def _while(tracer, graph, operator, arguments):
    options = operator.options
    if tracer.turns != 1:
        raise Unsupported("holds a WHILE inside of a WHILE")
    turns, counters = _turns(tracer, options.condSubgraphIndex, options.bodySubgraphIndex, arguments)
    body = tracer.graphs[options.bodySubgraphIndex]
    carries: dict[int, list] = {}
    inputs = []
    for k, value in enumerate(arguments):
        if k in counters:
            inputs.append(counters[k])
        elif body.outputs[k] == body.inputs[k]:
            inputs.append(value if isinstance(value, np.ndarray) else tracer.view(value))
        else:
            initial = tracer.view(value)
            carries[k] = [new(initial.shape, initial.dtype), initial]
            inputs.append(carries[k][0])
    outside, tracer.nodes, tracer.turns = tracer.nodes, [], turns
    results = tracer.run(options.bodySubgraphIndex, inputs)
    following = settled_ends(tracer, {k: (held, tracer.view(results[k])) for k, (held, _) in carries.items()})
    tracer.nodes, inside, tracer.turns = outside, tracer.nodes, 1
    tracer.add(
        Loop(turns, inside, [Carry(held, initial, following[k]) for k, (held, initial) in carries.items()])
    )
    made = []
    for k, value in enumerate(inputs):
        made.append(counters[k].at(turns) if k in counters else carries[k][0] if k in carries else value)
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
    """Returns how many turns a loop takes, and its counters by position."""
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
    if not plain or not all(i in test.constants or places.get(i) in counters for i in operators[0].inputs):
        raise Unsupported("holds a WHILE whose number of turns depends on data")
    operator = operators[0]
    for turn in range(_MOST_TURNS):
        values = [
            test.constants[i] if i in test.constants else counters[places[i]].at(turn)
            for i in operator.inputs
        ]
        if not np.all(OPERATORS[operator.name](test, operator, *values)):
            return turn, counters
    raise Unsupported(f"holds a WHILE of more than {_MOST_TURNS} turns")


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
