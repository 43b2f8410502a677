"""Writes one recurrence as a WHILE loop of TFLite operators.

main    z = FULLY_CONNECTED(x, W_x, b)              all time steps in one product
        WHILE t < T
body      r = FULLY_CONNECTED(h, W_h)               h: (B, 1, U)
          a = ADD(GATHER(z, t), r)
          h = TANH(a)                               or SELECT_V2(mask_t, TANH(a), h)
          sequence = DYNAMIC_UPDATE_SLICE(sequence, h, [0, t, 0])
          t = t + 1

The loop's size does not depend on T, and it holds no tensor of another number format than its signals.
GATHER takes two thirds of the time of SLICE, and a second counter [0, t, 0], carried along, less than
making it from t; see docs/decisions/export.md. A layer that goes backwards counts t down.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema


class Loop:
    """A WHILE loop under construction: variables are added with `carry`, then `close` writes it."""

    def __init__(self, file, main, name):
        self.main, self.name = main, name
        self.condition, self._condition_index = file.graph(f"{name}_condition")
        self.body, self._body_index = file.graph(f"{name}_body")
        self._initial = []  # main tensor that each variable starts as
        self._next = {}  # body tensor of a variable -> the one it has after the step

    def carry(self, name, initial):
        """Adds a loop variable that starts as the main tensor `initial`, and keeps its value unless `set`.

        Returns:
            The body's tensor of the variable.
        """
        main = self.main
        self._initial.append(initial)
        like = main.shape(initial), main.dtype(initial), main.quantization(initial)
        self.condition.subgraph.inputs.append(self.condition.tensor(name, *like))
        variable = self.body.tensor(name, *like)
        self.body.subgraph.inputs.append(variable)
        self._next[variable] = variable
        return variable

    def set(self, variable, value):
        """Gives a variable the body's tensor `value` for the next step."""
        self._next[variable] = value

    def count(self, name, start, step):
        """Adds an int32 variable that goes from `start` in steps of `step`, both one-dimensional."""
        variable = self.carry(name, self.main.constant(f"{self.name}/{name}_0", np.array(start, np.int32)))
        following = self.body.tensor(f"next_{name}", (len(start),), np.int32)
        increment = self.body.constant(f"{name}_step", np.array(step, np.int32))
        self.body.operator("ADD", [variable, increment], [following], schema.AddOptionsT())
        self.set(variable, following)
        return variable

    def close(self, comparison, limit):
        """Writes the WHILE, which runs as long as the first variable compares so with `limit`.

        Returns:
            Body's tensor of each variable -> main tensor that holds it after the loop.
        """
        condition = self.condition
        more = condition.tensor("more", (1,), np.bool_)
        operands = [condition.subgraph.inputs[0], condition.constant("limit", np.array([limit], np.int32))]
        condition.operator(comparison, operands, [more])
        condition.subgraph.outputs = [more]
        self.body.subgraph.outputs = list(self._next.values())
        results = {
            variable: self.main.tensor(
                f"{self.name}/result_{k}",
                self.body.shape(variable),
                self.body.dtype(variable),
                self.body.quantization(variable),
            )
            for k, variable in enumerate(self._next)
        }
        options = schema.WhileOptionsT()
        options.condSubgraphIndex, options.bodySubgraphIndex = self._condition_index, self._body_index
        self.main.operator("WHILE", self._initial, results.values(), options)
        return results


def lower(recurrence, rules, file, values):
    """Adds a recurrence to the main graph of a model file.

    Args:
        recurrence: the `partition.Recurrence` to write.
        rules: its number format, from `rules`.
        file: the `flatbuffer.ModelFile` to write into.
        values: value name -> index of its tensor in the main graph; `x` and, if there are any, `mask` and
            `initial_state` must be there. The values made are added.
    """
    main, name = file.main, recurrence.name
    x = values[recurrence.x]
    batch, timesteps, _ = main.shape(x)
    units = recurrence.units
    last, backwards = timesteps - 1, recurrence.go_backwards

    loop = Loop(file, main, name)
    body = loop.body
    t = loop.count("t", [last] if backwards else [0], [-1] if backwards else [1])
    z = loop.carry("z", _input_product(recurrence, rules, main, x))
    h = loop.carry("h", _initial_state(recurrence, rules, main, values, batch))
    new = _step(recurrence, rules, body, _gather(body, "z_t", z, t, (batch, 1, units)), h)

    written = None
    if recurrence.sequence is not None:
        empty = _zeros(main, f"{name}/sequence_0", (batch, timesteps, units), rules.dtype, rules.signal("h"))
        sequence = loop.carry("sequence", empty)
        written = loop.count("written", [0, 0, 0], [0, 1, 0])
    emitted = new
    if recurrence.mask is not None:
        mask = loop.carry(
            "mask", reshape(main, f"{name}/mask", values[recurrence.mask], (batch, timesteps, 1))
        )
        read = written
        if backwards or written is None:
            read = loop.count("read", [0, last if backwards else 0, 0], [0, -1 if backwards else 1, 0])
        # TFLite Micro gathers no bool, but slices it.
        keep = _slice(body, "mask_t", mask, read, (batch, 1, 1))
        new = emitted = _select(body, "h_masked", keep, new, h)
        if recurrence.sequence is not None and recurrence.zero_output_for_mask:
            zero = _zeros(body, "zero", (batch, 1, units), rules.dtype, rules.signal("h"))
            emitted = _select(body, "output", keep, new, zero)
    loop.set(h, new)
    if recurrence.sequence is not None:
        updated = body.tensor("next_sequence", (batch, timesteps, units), rules.dtype, rules.signal("h"))
        options = schema.DynamicUpdateSliceOptionsT()
        body.operator("DYNAMIC_UPDATE_SLICE", [sequence, emitted, written], [updated], options)
        loop.set(sequence, updated)

    results = loop.close("GREATER_EQUAL", 0) if backwards else loop.close("LESS", timesteps)
    if recurrence.sequence is not None:
        values[recurrence.sequence] = results[sequence]
    if recurrence.final is not None:
        values[recurrence.final] = reshape(main, f"{name}/final", results[h], (batch, units))


def _input_product(recurrence, rules, main, x):
    """z = x·W_x + b for all time steps."""
    batch, timesteps, _ = main.shape(x)
    weights, weights_quantization = rules.weights(recurrence.kernel)
    bias, bias_quantization = rules.bias(recurrence.bias, main.quantization(x), weights_quantization)
    name = recurrence.name
    z = main.tensor(f"{name}/z", (batch, timesteps, recurrence.units), rules.dtype, rules.signal("z"))
    operands = [
        x,
        main.constant(f"{name}/kernel", weights, weights_quantization),
        main.constant(f"{name}/bias", bias, bias_quantization),
    ]
    main.operator("FULLY_CONNECTED", operands, [z], _fully_connected())
    return z


def _step(recurrence, rules, body, z_t, h):
    """h_t = φ(z_t + h_{t-1}·W_h)."""
    shape = body.shape(h)
    weights, weights_quantization = rules.weights(recurrence.recurrent_kernel)
    r = body.tensor("r", shape, rules.dtype, rules.signal("r"))
    recurrent_kernel = body.constant("recurrent_kernel", weights, weights_quantization)
    body.operator("FULLY_CONNECTED", [h, recurrent_kernel, -1], [r], _fully_connected())
    h_t = body.tensor("h_t", shape, rules.dtype, rules.signal("h"))
    add = schema.AddOptionsT()
    if recurrence.activation in _FUSED:
        add.fusedActivationFunction = _FUSED[recurrence.activation]
        body.operator("ADD", [z_t, r], [h_t], add)
        return h_t
    a = body.tensor("a", shape, rules.dtype, rules.signal("a"))
    body.operator("ADD", [z_t, r], [a], add)
    body.operator(_OPERATORS[recurrence.activation], [a], [h_t])
    return h_t


_OPERATORS = {"tanh": "TANH", "sigmoid": "LOGISTIC"}
_FUSED = {
    "linear": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
}
ACTIVATIONS = (*_OPERATORS, *_FUSED)


def _fully_connected():
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    return options


def _initial_state(recurrence, rules, main, values, batch):
    shape = (batch, 1, recurrence.units)
    name = f"{recurrence.name}/h_0"
    if recurrence.initial_state is not None:
        return reshape(main, name, values[recurrence.initial_state], shape)
    return _zeros(main, name, shape, rules.dtype, rules.signal("h"))


def _zeros(graph, name, shape, dtype, quantization):
    """Real zeros, made by FILL: a constant of that shape would put its size into the file."""
    zero_point = 0 if quantization is None else quantization.zero_point
    zeros = graph.tensor(name, shape, dtype, quantization)
    dims = graph.constant(f"{name}/shape", np.array(shape, np.int32))
    value = graph.constant(f"{name}/value", np.array(zero_point, dtype), quantization)
    graph.operator("FILL", [dims, value], [zeros], schema.FillOptionsT())
    return zeros


def _gather(graph, name, source, t, shape):
    result = graph.tensor(name, shape, graph.dtype(source), graph.quantization(source))
    options = schema.GatherOptionsT()
    options.axis = 1
    graph.operator("GATHER", [source, t], [result], options)
    return result


def _slice(graph, name, source, position, shape):
    result = graph.tensor(name, shape, graph.dtype(source), graph.quantization(source))
    size = graph.constant(f"{name}/size", np.array(shape, np.int32))
    graph.operator("SLICE", [source, position, size], [result], schema.SliceOptionsT())
    return result


def _select(graph, name, condition, yes, no):
    result = graph.tensor(name, graph.shape(yes), graph.dtype(yes), graph.quantization(yes))
    graph.operator("SELECT_V2", [condition, yes, no], [result], schema.SelectV2OptionsT())
    return result


def reshape(graph, name, source, shape):
    """Adds a RESHAPE; returns the tensor of the new shape."""
    result = graph.tensor(name, shape, graph.dtype(source), graph.quantization(source))
    dims = graph.constant(f"{name}/shape", np.array(shape, np.int32))
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    graph.operator("RESHAPE", [source, dims], [result], options)
    return result
