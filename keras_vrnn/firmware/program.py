"""A file as a C program: what goes in and comes out, what it keeps, and what it computes."""

import os
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_vrnn.firmware import memory
from keras_vrnn.firmware.buffers import Buffer, Unsupported, View
from keras_vrnn.firmware.control import settled_ends
from keras_vrnn.firmware.nodes import Carry, Compute, Loop
from keras_vrnn.firmware.tracing import Tracer
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.describing import card_of
from keras_vrnn.tflite.reading import edge_names, state_pairs
from keras_vrnn.tflite.running.simulator import read_graphs

C_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "bool": "int8_t"}


@dataclass
class Edge:
    """An input, an output or a state of the program.

    Attributes:
        label: its name in the file.
        argument: its name in C.
        view: its values.
        format: scale and zero point; None for integers as they are.
    """

    label: str
    argument: str
    view: Any
    format: Any

    @property
    def type(self):
        """Its type in C."""
        return C_TYPES[self.view.dtype.name]


@dataclass
class Program:
    """What the C sources compute.

    Attributes:
        inputs, outputs, states: the edges, in the order of the file.
        body: the nodes.
        carries: the states from call to call.
        constants: buffers of constants.
        card: what the file tells about the model.
        halves_away: whether the conveniences for real numbers round halves away from zero, as the QUANTIZE of a file
            with io="float32" does; otherwise to even, as `Runner` does.
        scratch: type -> how many values of scratch memory.
    """

    inputs: list[Edge]
    outputs: list[Edge]
    states: list[Edge]
    body: list
    carries: list[Carry]
    constants: list[Buffer]
    card: Card
    halves_away: bool
    scratch: dict[np.dtype, int] = field(default_factory=dict)

    def final_reads(self):
        """The views that are read after the last node."""
        return [edge.view for edge in self.outputs] + [carry.following for carry in self.carries]

    @property
    def multiplications(self):
        """Multiply-accumulates of one call."""
        return _multiplications(self.body)


def _multiplications(body):
    total = 0
    for node in body:
        if isinstance(node, Loop):
            total += node.turns * _multiplications(node.body)
        elif isinstance(node, Compute):
            total += sum(product.multiplications for product in node.products())
    return total


def program_of(path, path_argument="path"):
    """Returns the program of a file; `path_argument` is the name of the caller's argument, for errors.

    Raises:
        FileNotFoundError, ValueError: as `reading.read`.
        Unsupported: it can't become C; the message names the operator.
    """
    content, model, graphs = read_graphs(path, path_argument)
    reason = next((graph.obstacle for graph in graphs if graph.obstacle), "")
    if reason:
        raise Unsupported(reason)
    main = graphs[0]
    takes_real = any(main.dtypes[index] == np.float32 for index in main.inputs)
    main.take_core()
    input_names, output_names = edge_names(model)
    arguments, results = _identifiers("in", input_names), _identifiers("out", output_names)
    pairs = state_pairs(input_names, output_names)
    tracer, inputs, states, values = Tracer(graphs), [], {}, []
    for index, name, argument in zip(main.inputs, input_names, arguments, strict=True):
        form, dtype, shape = main.formats[index], main.dtypes[index], main.shapes[index]
        if dtype.name not in C_TYPES:
            raise Unsupported(f"takes {dtype} for {name!r}")
        size = int(np.prod(shape, dtype=np.int64))
        if name in pairs:
            start = np.full(size, 0 if form is None else form.zero_point, dtype)
            buffer = Buffer(dtype, size, "state", f"state_{len(states)}", start)
            states[pairs[name]] = Edge(name, buffer.name, View(buffer, shape), form)
        else:
            buffer = Buffer(dtype, size, "input", argument)
            inputs.append(Edge(name, argument, View(buffer, shape), form))
        values.append(View(buffer, shape))
    results_traced = tracer.run(0, values)
    outputs, ends = [], {}
    for index, name, argument, value in zip(main.outputs, output_names, results, results_traced, strict=True):
        view = tracer.view(value)
        if name in states:
            ends[name] = states[name].view, view
        else:
            view = tracer.copied(view) if view.slope else view
            outputs.append(Edge(name, argument, view, main.formats[index]))
    kept = {name: Edge(name, view.buffer.name, view, None) for name, view in tracer.states.items()}
    ends |= {name: (view, tracer.view(tracer.variables[name])) for name, view in tracer.states.items()}
    following = settled_ends(tracer, ends)
    carries = [Carry(held, None, following[name]) for name, (held, _) in ends.items()]
    program = Program(
        inputs,
        outputs,
        [*states.values(), *kept.values()],
        tracer.nodes,
        carries,
        list(tracer.constants.values()),
        _card(path, content, model, path_argument),
        takes_real,
    )
    memory.share(program)
    program.scratch = memory.plan(program)
    return program


def _card(path, content, model, argument):
    try:
        return card_of(content, model) or Card()
    except (
        ValueError
    ) as reason:  # another program wrote the file anew, and left out what lies behind the model
        raise ValueError(
            f"`{argument}` must be a file whose metadata can be read. Received: {argument}={os.fspath(path)!r}, but "
            f"{reason}. Export or copy it again."
        ) from None


def _identifiers(prefix, labels):
    """Returns a name in C for each label of the file, all different."""
    made: list[str] = []
    for label in labels:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", label, flags=re.ASCII).strip("_").lower() or "value"
        name, number = f"{prefix}_{plain}", 2
        while name in made:
            name, number = f"{prefix}_{plain}_{number}", number + 1
        made.append(name)
    return made
