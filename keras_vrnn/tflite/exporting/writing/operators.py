"""Single TFLite operators: each function adds one to a graph and returns the tensor of its result."""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_MOST_PARTS = 10
RELU6 = schema.ActivationFunctionType.RELU6


def fully_connected(graph, name, x, weights, bias, dtype, quantization, flat=False):
    """x·Wᵀ + b over the last axis; `weights` is (outputs, inputs), `bias` may be -1, `flat` joins the other axes."""
    rows = graph.shape(x)[:-1]
    shape = (math.prod(rows) if flat else rows), graph.shape(weights)[0]
    result = graph.tensor(name, np.hstack(shape), dtype, quantization)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = not flat
    graph.operator("FULLY_CONNECTED", [x, weights, bias], [result], options)
    return result


def add(graph, name, x, y, quantization, activation=schema.ActivationFunctionType.NONE):
    """x + y, with an optional fused activation."""
    result = graph.tensor(name, graph.shape(x), graph.dtype(x), quantization)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = activation
    graph.operator("ADD", [x, y], [result], options)
    return result


def subtract(graph, name, x, y, quantization):
    """x − y."""
    result = graph.tensor(name, graph.shape(x), graph.dtype(x), quantization)
    graph.operator("SUB", [x, y], [result], schema.SubOptionsT())
    return result


def multiply(graph, name, x, y, quantization):
    """x ⊙ y, where y may have one row for all rows of x."""
    result = graph.tensor(name, graph.shape(x), graph.dtype(x), quantization)
    graph.operator("MUL", [x, y], [result], schema.MulOptionsT())
    return result


def compare(graph, operator, name, x, y):
    """An elementwise comparison such as "NOT_EQUAL"."""
    result = graph.tensor(name, graph.shape(x), np.bool_)
    graph.operator(operator, [x, y], [result])
    return result


def unary(graph, operator, name, x, quantization):
    """An operator with one input that keeps shape and dtype, such as "TANH"."""
    result = graph.tensor(name, graph.shape(x), graph.dtype(x), quantization)
    graph.operator(operator, [x], [result])
    return result


def reverse(graph, name, source):
    """A tensor (B, T, ...) in reverse order of time."""
    result = graph.tensor(name, graph.shape(source), graph.dtype(source), graph.quantization(source))
    axis = graph.constant("axis", np.array([1], np.int32))
    graph.operator("REVERSE_V2", [source, axis], [result], schema.ReverseV2OptionsT())
    return result


def zeros(graph, name, shape, dtype, quantization):
    """Real zeros, made by FILL, because a constant of that shape would enlarge the file."""
    result = graph.tensor(name, shape, dtype, quantization)
    if dtype == np.int16:  # FILL of TFLite Micro lacks int16, CAST has it
        graph.operator("CAST", [zeros(graph, f"{name}/int8", shape, np.int8, None)], [result])
        return result
    zero_point = 0 if quantization is None else quantization.zero_point
    dims = graph.constant("shape", np.array(shape, np.int32))
    value = graph.constant("value", np.array(zero_point, dtype), quantization)
    graph.operator("FILL", [dims, value], [result], schema.FillOptionsT())
    return result


def gather(graph, name, source, t):
    """The slices `t` (1,) of the middle axis of a tensor (B, T, U)."""
    batch, _, units = graph.shape(source)
    result = graph.tensor(name, (batch, 1, units), graph.dtype(source), graph.quantization(source))
    options = schema.GatherOptionsT()
    options.axis = 1
    graph.operator("GATHER", [source, t], [result], options)
    return result


def take(graph, name, table, indices):
    """The elements of a table (n,) at some int32 indices."""
    result = graph.tensor(name, graph.shape(indices), graph.dtype(table), graph.quantization(table))
    graph.operator("GATHER", [table, indices], [result], schema.GatherOptionsT())
    return result


def minimum(graph, name, x, y):
    """The smaller number of each pair."""
    result = graph.tensor(name, graph.shape(x), graph.dtype(x), graph.quantization(x))
    graph.operator("MINIMUM", [x, y], [result], schema.MaximumMinimumOptionsT())
    return result


def cast(graph, name, source, dtype, quantization=None):
    """The same numbers in another type; a quantized tensor gives its stored integers."""
    result = graph.tensor(name, graph.shape(source), dtype, quantization)
    graph.operator("CAST", [source], [result])
    return result


def slice_(graph, name, source, position, shape):
    """The part of a tensor that starts at `position`."""
    result = graph.tensor(name, shape, graph.dtype(source), graph.quantization(source))
    size = graph.constant("size", np.array(shape, np.int32))
    graph.operator("SLICE", [source, position, size], [result], schema.SliceOptionsT())
    return result


def update(graph, name, target, part, position):
    """`target` with `part` written at `position`."""
    result = graph.tensor(name, graph.shape(target), graph.dtype(target), graph.quantization(target))
    options = schema.DynamicUpdateSliceOptionsT()
    graph.operator("DYNAMIC_UPDATE_SLICE", [target, part, position], [result], options)
    return result


def select(graph, name, condition, yes, no):
    """`yes` where `condition` holds, else `no`."""
    result = graph.tensor(name, graph.shape(yes), graph.dtype(yes), graph.quantization(yes))
    graph.operator("SELECT_V2", [condition, yes, no], [result], schema.SelectV2OptionsT())
    return result


def shaped(graph, name, source, shape):
    """The same numbers in a shape; no operator is added if they have it already."""
    return source if graph.shape(source) == shape else reshape(graph, name, source, shape)


def reshape(graph, name, source, shape):
    """The same numbers in a shape, always in a new tensor."""
    result = graph.tensor(name, shape, graph.dtype(source), graph.quantization(source))
    dims = graph.constant("shape", np.array(shape, np.int32))
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    graph.operator("RESHAPE", [source, dims], [result], options)
    return result


def halves(graph, name, source):
    """The two time steps of a tensor (B, 2, U) as tensors (B, 1, U)."""
    batch, _, units = graph.shape(source)
    like = (batch, 1, units), graph.dtype(source), graph.quantization(source)
    results = [graph.tensor(name, *like) for _ in range(2)]
    options = schema.SplitOptionsT()
    options.numSplits = 2
    graph.operator("SPLIT", [graph.constant("axis", np.array(1, np.int32)), source], results, options)
    return results


def columns(graph, name, source, count):
    """The equal parts of a tensor along its last axis."""
    *rows, width = graph.shape(source)
    like = (*rows, width // count), graph.dtype(source), graph.quantization(source)
    results = [graph.tensor(name, *like) for _ in range(count)]
    options = schema.SplitOptionsT()
    options.numSplits = count
    graph.operator("SPLIT", [graph.constant("axis", np.array(len(rows), np.int32)), source], results, options)
    return results


def split(graph, name, source):
    """The time steps of a tensor (B, T, U) as T tensors (B, 1, U); of a (B, U) the one that it is."""
    if len(graph.shape(source)) == 2 or graph.shape(source)[1] == 1:
        return [source]
    batch, timesteps, units = graph.shape(source)
    # SLICE rather than SPLIT: LiteRT splits no bool, and the mask is one.
    return [
        slice_(
            graph,
            f"{name}_{t}",
            source,
            graph.constant("position", np.array([0, t, 0], np.int32)),
            (batch, 1, units),
        )
        for t in range(timesteps)
    ]


def concatenate(graph, name, parts):
    """Tensors (B, t, U) joined along the time axis: (B, T, U)."""
    if len(parts) == 1:
        return parts[0]
    # TFLite Micro supports at most ten inputs.
    while len(parts) > _MOST_PARTS:
        groups = [parts[k : k + _MOST_PARTS] for k in range(0, len(parts), _MOST_PARTS)]
        parts = [concatenate(graph, f"{name}_{k}", group) for k, group in enumerate(groups)]
    batch, _, units = graph.shape(parts[0])
    timesteps = sum(graph.shape(part)[1] for part in parts)
    result = graph.tensor(
        name, (batch, timesteps, units), graph.dtype(parts[0]), graph.quantization(parts[0])
    )
    options = schema.ConcatenationOptionsT()
    options.axis = 1
    graph.operator("CONCATENATION", parts, [result], options)
    return result


def quantize(graph, name, source, quantization, dtype=None):
    """The same real numbers in another integer format, by default of the same type."""
    result = graph.tensor(name, graph.shape(source), dtype or graph.dtype(source), quantization)
    quantize_into(graph, source, result)
    return result


def quantize_into(graph, source, target):
    """The same real numbers in the format of `target`, an existing tensor."""
    graph.operator("QUANTIZE", [source], [target], schema.QuantizeOptionsT())


def in_format(graph, name, source, quantization, dtype):
    """The same real numbers in a format; no operator is added if they have it already."""
    if graph.dtype(source) == dtype and graph.quantization(source) == quantization:
        return source
    return quantize(graph, name, source, quantization, dtype)


def unquantized(graph, source):
    """The same integers as plain numbers, which the kernels of int32 take; no operator is added if they are that."""
    if graph.quantization(source) is None:
        return source
    result = reshape(graph, "plain", source, graph.shape(source))
    graph.declare(result, None)
    return result


def dequantize(graph, name, source):
    """A float16 or quantized tensor as float32."""
    result = graph.tensor(name, graph.shape(source), np.float32)
    graph.operator("DEQUANTIZE", [source], [result], schema.DequantizeOptionsT())
    return result


def weights(graph, name, stored):
    """A constant weight matrix, a `Stored`, in a type that FULLY_CONNECTED reads."""
    constant = graph.stored(name, stored)
    # LiteRT dequantizes a constant float16 matrix only once.
    return dequantize(graph, f"{name}/float32", constant) if stored.array.dtype == np.float16 else constant
