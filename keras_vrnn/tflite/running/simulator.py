"""Runs an integer file by the arithmetic of `quantization.integer`, without an interpreter. Needs NumPy only.

Every operator that a recurrence is written with is here, and those of the usual layers around it. The result equals
TFLite Micro's reference kernels, integer for integer.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import Quantization, unpacked
from keras_vrnn.tflite.reading import RESET, edge_names, indices, operator_name, read, text
from keras_vrnn.tflite.running.runner import Runner

_DTYPES: dict[int, np.dtype] = {
    schema.TensorType.FLOAT32: np.dtype("float32"),
    schema.TensorType.INT64: np.dtype("int64"),
    schema.TensorType.INT32: np.dtype("int32"),
    schema.TensorType.INT16: np.dtype("int16"),
    schema.TensorType.INT8: np.dtype("int8"),
    schema.TensorType.INT4: np.dtype("int8"),
    schema.TensorType.BOOL: np.dtype("bool"),
}
_FUSED = {
    schema.ActivationFunctionType.NONE: None,
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}


def simulate(path, x) -> "np.ndarray | dict[str, np.ndarray]":
    """Runs an int8 or int16x8 file on arrays by the integer arithmetic of TFLite Micro's reference kernels.

    Args:
        path: the `.tflite` file.
        x: as for `Runner`: an array (samples, ...), or a dictionary input name -> array.

    Returns:
        The outputs as `Runner` returns them; equal to TFLite Micro's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds an operator or a type that the simulation does not have; the message names it.
    """
    return Simulator(path)(x)


class Simulator(Runner):
    """A `Runner` by NumPy arithmetic instead of an interpreter; see `simulate`."""

    def __init__(self, path):
        self._start(_Simulation(path))


class _Simulation:
    """The simulation as an engine (see `engines`)."""

    def __init__(self, path):
        _, self._model = read(path)
        self._graphs = [_Graph(self._model, subgraph, path) for subgraph in self._model.subgraphs]
        self._variables: dict[str, np.ndarray] = {}
        main = self._graphs[0]
        inputs, outputs = edge_names(self._model)
        self._values = {i: np.zeros(main.shapes[i], main.dtypes[i]) for i in main.inputs + main.outputs}
        self.inputs = {name: main.detail(i) for name, i in zip(inputs, main.inputs, strict=True)}
        self.outputs = {name: main.detail(i) for name, i in zip(outputs, main.outputs, strict=True)}
        self.can_reset = any(text(s.signatureKey) == RESET for s in self._model.signatureDefs or [])

    def resize(self, shapes):
        """Does nothing: the simulation takes the shapes of the file."""

    def set(self, detail, array):
        """Writes an input."""
        self._values[detail["index"]] = np.array(array)

    def get(self, detail):
        """Returns a copy of an input or output."""
        return self._values[detail["index"]].copy()

    def invoke(self):
        """Computes the outputs."""
        main = self._graphs[0]
        results = self._run(main, [self._values[i] for i in main.inputs])
        self._values |= zip(main.outputs, results, strict=True)

    def reset(self):
        """Puts the states that the file keeps back to zero."""
        self._variables.clear()

    def _run(self, graph, inputs):
        values = dict(graph.constants)
        values |= zip(graph.inputs, inputs, strict=True)
        for operator in graph.operators:
            results = self._apply(graph, operator, values)
            values |= zip(operator.outputs, results, strict=True)
        return [values[i] for i in graph.outputs]

    def _apply(self, graph, operator, values):
        arguments = [None if i < 0 else values[i] for i in operator.inputs]
        name, options = operator.name, operator.options
        if name == "WHILE":
            condition, body = (
                self._graphs[i] for i in (options.condSubgraphIndex, options.bodySubgraphIndex)
            )
            while self._run(condition, arguments)[0].item():
                arguments = self._run(body, arguments)
            return arguments
        if name == "CALL_ONCE":
            if not self._variables:
                self._run(self._graphs[options.initSubgraphIndex], [])
            return []
        if name == "VAR_HANDLE":
            return [text(options.sharedName)]
        if name == "ASSIGN_VARIABLE":
            self._variables[arguments[0]] = arguments[1]
            return []
        if name == "READ_VARIABLE":
            return [self._variables[arguments[0]]]
        results = _OPERATORS[name](graph, operator, *arguments)
        return results if isinstance(results, list) else [results]


class _Operator:
    """One operator, its indices as plain integers."""

    def __init__(self, model, operator):
        self.name = operator_name(model, operator)
        self.inputs, self.outputs = indices(operator.inputs), indices(operator.outputs)
        self.options = operator.builtinOptions


class _Graph:
    """One subgraph: its tensors' types and formats, its constants and its operators."""

    def __init__(self, model, subgraph, path):
        tensors = subgraph.tensors or []
        self.names = [text(tensor.name) for tensor in tensors]
        self.shapes = [tuple(indices(tensor.shape)) for tensor in tensors]
        self.dtypes = [_DTYPES.get(tensor.type) for tensor in tensors]
        self.formats = [_format(tensor) for tensor in tensors]
        self.inputs, self.outputs = indices(subgraph.inputs), indices(subgraph.outputs)
        self.operators = [_Operator(model, operator) for operator in subgraph.operators or []]
        for operator in self.operators:
            self._check(operator, path)
        self.constants = {}
        for i, tensor in enumerate(tensors):
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                if tensor.type == schema.TensorType.INT4:
                    self.constants[i] = unpacked(data, self.shapes[i])
                else:
                    self.constants[i] = np.frombuffer(bytes(data), self.dtypes[i]).reshape(self.shapes[i])

    def _check(self, operator, path):
        if operator.name not in _OPERATORS and operator.name not in _CONTROL:
            raise ValueError(
                f"path: {str(path)!r} holds the operator {operator.name}, which the simulation does not have; run the "
                "file with Runner, or with verify(..., micro=True)."
            )
        floats = [self.names[i] for i in operator.outputs if self.dtypes[i] == np.float32]
        if floats and operator.name != "DEQUANTIZE":
            raise ValueError(
                f"path: {str(path)!r} computes {operator.name} in float32 (tensor {floats[0]!r}); the simulation is "
                "for files exported with quantization='int8' or 'int16x8'."
            )

    def detail(self, index):
        """Describes a tensor as the engines do."""
        form = self.formats[index]
        return {
            "index": index,
            "shape": np.array(self.shapes[index]),
            "shape_signature": np.array(self.shapes[index]),
            "dtype": self.dtypes[index].type,
            "quantization": (0.0, 0) if form is None else (float(form.scale), form.zero_point),
        }


def _format(tensor):
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return None
    if len(parameters.scale) == 1:
        return Quantization(float(parameters.scale[0]), int(parameters.zeroPoint[0]))
    return Quantization(np.asarray(parameters.scale), 0, int(parameters.quantizedDimension))


# The operators: (graph, operator, *arguments) → the result, or a list of results.


def _formats(graph, operator):
    return [None if i < 0 else graph.formats[i] for i in (*operator.inputs, operator.outputs[0])]


def _dtype(graph, operator):
    return graph.dtypes[operator.outputs[0]]


def _shape(graph, operator):
    return graph.shapes[operator.outputs[0]]


def _fully_connected(graph, operator, x, weights, bias=None):
    source, weights_format, *_, target = _formats(graph, operator)
    fused = _FUSED[operator.options.fusedActivationFunction]
    x = x.reshape(-1, weights.shape[-1])
    made = integer.fully_connected(x, weights, bias, source, weights_format, target, fused)
    return made.reshape(_shape(graph, operator))


def _elementwise(function, plain):
    def apply(graph, operator, x, y):
        *operands, target = _formats(graph, operator)
        if target is None:
            return plain(x, y)
        x, y = np.broadcast_arrays(x, y)
        return function(x, y, *operands, target, _FUSED[operator.options.fusedActivationFunction])

    return apply


def _quantize(graph, operator, x):
    source, target = _formats(graph, operator)
    if x.dtype == np.float32:
        return integer.quantize(x, target, _dtype(graph, operator))
    return integer.requantize(x, source, target, _dtype(graph, operator))


def _dequantize(graph, operator, x):
    source = graph.formats[operator.inputs[0]]
    return ((x.astype(np.int32) - source.zero_point) * np.float64(np.float32(source.scale))).astype(
        np.float32
    )


def _slice(graph, operator, x, begin, size):
    ends = [b + s if s >= 0 else n for b, s, n in zip(begin, size, x.shape, strict=True)]
    return x[tuple(slice(b, e) for b, e in zip(begin, ends, strict=True))]


def _update(graph, operator, target, part, position):
    # The start is moved so that the part fits, as in XLA.
    start = [min(max(p, 0), n - k) for p, n, k in zip(position, target.shape, part.shape, strict=True)]
    target = target.copy()
    target[tuple(slice(p, p + k) for p, k in zip(start, part.shape, strict=True))] = part
    return target


def _reduce_all(graph, operator, x, axes):
    return x.all(axis=tuple(np.ravel(axes)), keepdims=operator.options.keepDims)


_CONTROL = {"WHILE", "CALL_ONCE", "VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"}
_OPERATORS = {
    "ADD": _elementwise(integer.add, np.add),
    "CAST": lambda graph, operator, x: x.astype(_dtype(graph, operator)),
    "CONCATENATION": lambda graph, operator, *parts: np.concatenate(parts, axis=operator.options.axis),
    "DEQUANTIZE": _dequantize,
    "DYNAMIC_UPDATE_SLICE": _update,
    "EQUAL": lambda graph, operator, x, y: x == y,
    "FILL": lambda graph, operator, shape, value: np.full(tuple(shape), value),
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": lambda graph, operator, x, index: np.take(x, index, axis=operator.options.axis),
    "GREATER_EQUAL": lambda graph, operator, x, y: x >= y,
    "LESS": lambda graph, operator, x, y: x < y,
    "LOGICAL_NOT": lambda graph, operator, x: ~x,
    "LOGISTIC": lambda graph, operator, x: integer.logistic(x, graph.formats[operator.inputs[0]]),
    "MUL": _elementwise(integer.mul, np.multiply),
    "NOT_EQUAL": lambda graph, operator, x, y: x != y,
    "QUANTIZE": _quantize,
    "REDUCE_ALL": _reduce_all,
    "RESHAPE": lambda graph, operator, x, *_: x.reshape(_shape(graph, operator)),
    "REVERSE_V2": lambda graph, operator, x, axis: np.flip(x, axis=tuple(np.ravel(axis))),
    "SELECT_V2": lambda graph, operator, condition, yes, no: np.where(condition, yes, no),
    "SLICE": _slice,
    "SPLIT": lambda graph, operator, axis, x: np.split(
        x, operator.options.numSplits, axis=int(np.ravel(axis)[0])
    ),
    "TANH": lambda graph, operator, x: integer.tanh(x, graph.formats[operator.inputs[0]]),
}
