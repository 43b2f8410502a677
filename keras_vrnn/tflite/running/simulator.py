"""Runs an integer file by NumPy arithmetic, without an interpreter.

The result equals TFLite Micro's in every integer: its reference kernels of autumn 2026, as the Python package runs
them on x86. `simulated_operators` lists the operators; `quantization` has their arithmetic.

TFLite Micro refuses some operators that only move, cast or choose values (such as TILE, or REDUCE_MAX of int16), and
int4 weights with one scale per channel. The simulation runs them, and the result is LiteRT's.
"""

import os

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import ArrayLike

from keras_vrnn.quantization.formats import Quantization, unpacked
from keras_vrnn.tflite.reading import RESET, edge_names, indices, operator_name, read, text, timed_names
from keras_vrnn.tflite.running.runner import Runner
from keras_vrnn.tflite.running.simulated_operators import OPERATORS, obstacle

_DTYPES: dict[int, np.dtype] = {
    schema.TensorType.FLOAT32: np.dtype("float32"),
    schema.TensorType.INT64: np.dtype("int64"),
    schema.TensorType.INT32: np.dtype("int32"),
    schema.TensorType.INT16: np.dtype("int16"),
    schema.TensorType.INT8: np.dtype("int8"),
    schema.TensorType.INT4: np.dtype("int8"),  # see `unpacked`
    schema.TensorType.UINT8: np.dtype("uint8"),
    schema.TensorType.BOOL: np.dtype("bool"),
}

_CONTROL = {"WHILE", "CALL_ONCE", "VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"}


def simulate(
    path: str | os.PathLike[str], x: ArrayLike | dict[str, ArrayLike] | list[ArrayLike]
) -> np.ndarray | dict[str, np.ndarray]:
    """Runs an int8 or int16x8 file on arrays by the integer arithmetic of TFLite Micro's reference kernels.

    It takes about a third of a millisecond per time step and invoke.

    Args:
        path: the `.tflite` file.
        x: as for `Runner`: an array (samples, ...), or a dictionary input name -> array.

    Returns:
        The outputs as `Runner` returns them; they equal TFLite Micro's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds an operator or a type that the simulation does not have; the message names it.
    """
    return Simulator(path)(x)


def refusal(path: str | os.PathLike[str]) -> str:
    """Returns what keeps a file from the simulation, such as "holds the operator GELU"; "" if it can run the file."""
    return _obstacle(read_graphs(path)[2])


def read_graphs(path, argument="path"):
    """Returns the bytes of a file, its `ModelT`, and its graphs as the simulation reads them; arguments as `read`."""
    content, model = read(path, argument)
    return content, model, [_Graph(model, subgraph) for subgraph in model.subgraphs]


def _obstacle(graphs):
    return next(filter(None, (graph.obstacle for graph in graphs)), "")


class Simulator(Runner):
    """A `Runner` by NumPy arithmetic instead of an interpreter; see `simulate`."""

    def __init__(self, path: str | os.PathLike[str]):
        self._start(_Simulation(path))


class _Simulation:
    """The simulation as an engine (see `engines`)."""

    def __init__(self, path, core=False):
        self.content, self._model, self._graphs = read_graphs(path)
        if core:
            self._graphs[0].take_core()
        reason = _obstacle(self._graphs)
        if reason:
            raise ValueError(
                "`path` must be a file that the simulation can run: exported with quantization='int8' or 'int16x8', of "
                f"operators that TFLite Micro has. Received: path={os.fspath(path)!r}, which {reason}. Run it with "
                "kv.tflite.Runner."
            )
        self._variables: dict[str, np.ndarray] = {}
        main = self._graphs[0]
        self.timed = timed_names(self._model)
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
        results = OPERATORS[name](graph, operator, *arguments)
        return results if isinstance(results, list) else [results]


class _Operator:
    """One operator, its indices as plain integers."""

    def __init__(self, model, operator):
        self.name = operator_name(model, operator)
        self.inputs, self.outputs = indices(operator.inputs), indices(operator.outputs)
        self.options = operator.builtinOptions


class _Graph:
    """One subgraph: its tensors' types and formats, its constants and its operators."""

    def __init__(self, model, subgraph):
        tensors = subgraph.tensors or []
        self.names = [text(tensor.name) for tensor in tensors]
        self.shapes = [tuple(indices(tensor.shape)) for tensor in tensors]
        self.types = [tensor.type for tensor in tensors]
        self.dtypes = [_DTYPES.get(type) for type in self.types]
        self.formats = [_format(tensor) for tensor in tensors]
        self.inputs, self.outputs = indices(subgraph.inputs), indices(subgraph.outputs)
        self.operators = [_Operator(model, operator) for operator in subgraph.operators or []]
        reasons = (obstacle(self, o) for o in self.operators if o.name not in _CONTROL)
        self.obstacle = next(filter(None, reasons), "")
        self.constants = {}
        for i, tensor in enumerate(tensors):
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data) and not self.obstacle:
                self.constants[i] = _values(bytes(data), self.types[i], self.shapes[i])

    def take_core(self):
        """Leaves out a QUANTIZE behind an input and a DEQUANTIZE before an output: integers go in and come out."""
        float32 = np.dtype("float32")
        for operator in [o for o in self.operators if o.name in ("QUANTIZE", "DEQUANTIZE")]:
            source, target = operator.inputs[0], operator.outputs[0]
            if operator.name == "QUANTIZE" and self.dtypes[source] == float32 and source in self.inputs:
                edges, old, new = self.inputs, source, target
            elif operator.name == "DEQUANTIZE" and target in self.outputs:
                edges, old, new = self.outputs, target, source
            else:
                continue
            if sum(old in o.inputs + o.outputs for o in self.operators) == 1:
                edges[edges.index(old)] = new
                self.operators.remove(operator)

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


def _values(content, type, shape):
    """Returns the values of a constant tensor."""
    if type == schema.TensorType.INT4:
        return unpacked(content, shape)
    return np.frombuffer(content, _DTYPES[type]).reshape(shape)


def _format(tensor):
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return None
    if len(parameters.scale) == 1:
        return Quantization(float(parameters.scale[0]), int(parameters.zeroPoint[0]))
    return Quantization(np.asarray(parameters.scale), 0, int(parameters.quantizedDimension))
