"""Writes one recurrence as a WHILE loop of TFLite operators.

main    z = FULLY_CONNECTED(x, W_x, b)              all time steps in one product
        WHILE position[1] < T
body      r = FULLY_CONNECTED(h, W_h)               h: (B, 1, U)
          a = ADD(SLICE(z, position), r)
          h = TANH(a)                               or SELECT_V2(mask_t, TANH(a), h)
          sequence = DYNAMIC_UPDATE_SLICE(sequence, h, position)
          position = position + [0, 1, 0]

`position` is the index vector [0, t, 0] itself, so that reading, writing and counting share one tensor.
The loop's size does not depend on T, and it holds no tensor of another number format than its signals.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_STEP = np.array([0, 1, 0], np.int32)


class Loop:
    """A WHILE loop under construction: variables are added with `carry`, then `close` writes it."""

    def __init__(self, file, main, name):
        self.main, self.name = main, name
        self.condition, self._condition_index = file.graph(f"{name}_condition")
        self.body, self._body_index = file.graph(f"{name}_body")
        self._initial, self._results = [], []

    def carry(self, name, initial, quantization=None):
        """Adds a loop variable that starts as the main tensor `initial`; returns its index in (condition, body)."""
        shape, dtype = self.main.shape(initial), self.main.dtype(initial)
        self._initial.append((name, initial, shape, dtype, quantization))
        indices = []
        for graph in (self.condition, self.body):
            index = graph.tensor(name, shape, dtype, quantization)
            graph.subgraph.inputs.append(index)
            indices.append(index)
        return tuple(indices)

    def close(self, condition, results):
        """Writes the WHILE: `condition` of the condition graph, `results` of the body, one a variable."""
        self.condition.subgraph.outputs = [condition]
        self.body.subgraph.outputs = list(results)
        outputs = [
            self.main.tensor(f"{self.name}/{name}", shape, dtype, quantization)
            for name, _, shape, dtype, quantization in self._initial
        ]
        options = schema.WhileOptionsT()
        options.condSubgraphIndex, options.bodySubgraphIndex = self._condition_index, self._body_index
        self.main.operator("WHILE", [initial for _, initial, *_ in self._initial], outputs, options)
        return outputs


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
    h_quantization = rules.signal("h")

    z = _input_product(recurrence, rules, main, x)
    loop = Loop(file, main, name)
    body = loop.body
    start = main.constant(f"{name}/position_0", np.zeros(3, np.int32))
    condition_position, position = loop.carry("position", start)
    _, z_all = loop.carry("z", z, rules.signal("z"))
    _, h = loop.carry("h", _initial_state(recurrence, rules, main, values, batch), h_quantization)
    mask = None
    if recurrence.mask is not None:
        mask_3d = reshape(main, f"{name}/mask", values[recurrence.mask], (batch, timesteps, 1))
        _, mask = loop.carry("mask", mask_3d)
    sequence = None
    if recurrence.sequence is not None:
        empty = _zeros(main, f"{name}/sequence_0", (batch, timesteps, units), rules.dtype, h_quantization)
        _, sequence = loop.carry("sequence", empty, h_quantization)

    # condition: position[1] < T
    condition = loop.condition
    t = condition.tensor("t", (1,), np.int32)
    one = condition.constant("one", np.array([1], np.int32))
    condition.operator("SLICE", [condition_position, one, one], [t], schema.SliceOptionsT())
    more = condition.tensor("more", (1,), np.bool_)
    limit = condition.constant("timesteps", np.array([timesteps], np.int32))
    condition.operator("LESS", [t, limit], [more], schema.LessOptionsT())

    # body: one step
    read = _read_position(recurrence, body, position, timesteps)
    new = _step(recurrence, rules, body, _slice(body, "z_t", z_all, read, (batch, 1, units)), h)
    if mask is not None:
        keep = _slice(body, "mask_t", mask, read, (batch, 1, 1))
        new = _select(body, "h_masked", keep, new, h)
    next_position = body.tensor("next_position", (3,), np.int32)
    step = body.constant("step", _STEP)
    body.operator("ADD", [position, step], [next_position], schema.AddOptionsT())
    results = [next_position, z_all, new] + ([] if mask is None else [mask])
    if sequence is not None:
        written = body.tensor("next_sequence", (batch, timesteps, units), rules.dtype, h_quantization)
        options = schema.DynamicUpdateSliceOptionsT()
        emitted = new
        if mask is not None and recurrence.zero_output_for_mask:
            zero = _zeros(body, "zero", (batch, 1, units), rules.dtype, h_quantization)
            emitted = _select(body, "output", keep, new, zero)
        body.operator("DYNAMIC_UPDATE_SLICE", [sequence, emitted, position], [written], options)
        results.append(written)
    outputs = loop.close(more, results)

    if recurrence.sequence is not None:
        values[recurrence.sequence] = outputs[-1]
    if recurrence.final is not None:
        values[recurrence.final] = reshape(main, f"{name}/final", outputs[2], (batch, units))


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


def _read_position(recurrence, body, position, timesteps):
    """The index of the input step: t, or T-1-t for a layer that goes backwards."""
    if not recurrence.go_backwards:
        return position
    last = body.constant("last_position", np.array([0, timesteps - 1, 0], np.int32))
    reverse = body.tensor("reverse_position", (3,), np.int32)
    body.operator("SUB", [last, position], [reverse], schema.SubOptionsT())
    return reverse


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
