"""TFLite models as plain objects to read and write: tensors, operators, subgraphs, bytes."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.quantization.formats import Quantization, packed, unpacked
from keras_vrnn.tflite import reading
from keras_vrnn.tflite.packing import pack

RESOURCE = "resource"  # the type of a variable's handle; NumPy has no dtype for it
FOUR_BIT_VERSION = 10  # of FULLY_CONNECTED with int4 weights
NO_BUFFER = 0  # by the schema's convention, buffer 0 is empty and shared by all activations
_TYPES = {
    np.dtype(reading.TYPE_NAMES[code].lower()): code
    for code in reading.ITEM_SIZES
    if code != schema.TensorType.BFLOAT16  # which NumPy lacks
}
# NumPy has no int4; the values are read as int8.
_DTYPES = {code: dtype for dtype, code in _TYPES.items()} | {schema.TensorType.INT4: np.dtype("int8")}
_PLACEHOLDER_CODE = 127  # in the old one-byte field, for an operator whose code does not fit


class Graph:
    """One subgraph, under construction or read from a file; an index identifies a tensor."""

    def __init__(self, file, subgraph):
        self.file = file
        self.subgraph = subgraph

    def tensor(self, name, shape, dtype, quantization=None, data=None):
        """Adds a tensor and returns its index; the tensor is constant if `data` is given."""
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = list(shape)
        tensor.type = schema.TensorType.RESOURCE if dtype == RESOURCE else _TYPES[np.dtype(dtype)]
        tensor.buffer = NO_BUFFER if data is None else self.file.buffer(data)
        if quantization is not None:
            tensor.quantization = _pack_quantization(quantization)
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def constant(self, name, data, quantization=None):
        """Adds a constant tensor holding the array `data`."""
        return self.tensor(name, data.shape, data.dtype, quantization, data)

    def stored(self, name, stored):
        """Adds a constant tensor holding a `Stored`; FULLY_CONNECTED is the operator that reads 4-bit ones."""
        if not stored.int4:
            return self.constant(name, stored.array, stored.quantization)
        data = packed(stored.array)
        index = self.tensor(name, stored.array.shape, np.int8, stored.quantization, data)
        self.subgraph.tensors[index].type = schema.TensorType.INT4
        self.file.operator_code("FULLY_CONNECTED", FOUR_BIT_VERSION)
        return index

    def operator(self, name, inputs, outputs, options=None):
        """Adds a builtin operator, e.g. `operator("TANH", [a], [h])`; -1 stands for an absent input."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.file.operator_code(name)
        operator.inputs = list(inputs)
        operator.outputs = list(outputs)
        if options is not None:
            operator.builtinOptionsType = getattr(
                schema.BuiltinOptions, type(options).__name__.removesuffix("T")
            )
            operator.builtinOptions = options
        self.subgraph.operators.append(operator)

    def inline(self, content, source):
        """Adds the operators of another file that has one input and one output.

        Args:
            content: The bytes of the `.tflite` file.
            source: The tensor that becomes its input.

        Returns:
            The tensor of its output.
        """
        other = ModelFile(content)
        subgraph = other.main.subgraph
        copies = {-1: -1, int(subgraph.inputs[0]): source}

        def copy(index):
            if index not in copies:
                tensor = subgraph.tensors[index]
                data = other.model.buffers[tensor.buffer].data
                tensor.buffer = NO_BUFFER if data is None or not len(data) else self.file.buffer(data)
                self.subgraph.tensors.append(tensor)
                copies[index] = len(self.subgraph.tensors) - 1
            return copies[index]

        for operator in subgraph.operators:
            operator.opcodeIndex = self.file.adopt_code(other.model.operatorCodes[operator.opcodeIndex])
            operator.inputs = [copy(int(index)) for index in operator.inputs]
            operator.outputs = [copy(int(index)) for index in operator.outputs]
            self.subgraph.operators.append(operator)
        return copy(int(subgraph.outputs[0]))

    def shape(self, index):
        """Returns the shape of a tensor as a tuple."""
        shape = self.subgraph.tensors[index].shape
        return () if shape is None else tuple(int(n) for n in shape)

    def dtype(self, index):
        """Returns the NumPy dtype of a tensor's values."""
        return _DTYPES[self.subgraph.tensors[index].type]

    def data(self, index):
        """Returns the array of a constant tensor, or None for any other."""
        content = self.file.model.buffers[self.subgraph.tensors[index].buffer].data
        if content is None or not len(content):
            return None
        if self.subgraph.tensors[index].type == schema.TensorType.INT4:
            return unpacked(content, self.shape(index))
        return np.frombuffer(bytes(content), self.dtype(index)).reshape(self.shape(index))

    def quantization(self, index):
        """Returns the `Quantization` of a tensor, or None."""
        parameters = self.subgraph.tensors[index].quantization
        if parameters is None or parameters.scale is None or not len(parameters.scale):
            return None
        if len(parameters.scale) == 1:
            return Quantization(float(parameters.scale[0]), int(parameters.zeroPoint[0]))
        return Quantization(np.asarray(parameters.scale), 0, parameters.quantizedDimension)

    def declare(self, index, quantization):
        """Gives a tensor another quantization; its integers stay the same."""
        packed = None if quantization is None else _pack_quantization(quantization)
        self.subgraph.tensors[index].quantization = packed

    def sort_operators(self):
        """Sorts the operators so that each runs after the ones that feed it."""
        waiting = list(self.subgraph.operators)
        pending = {int(t) for operator in waiting for t in operator.outputs}
        ordered = []
        while waiting:
            ready = [op for op in waiting if pending.isdisjoint(int(t) for t in op.inputs)]
            if not ready:
                raise RuntimeError("the stitched graph has a cycle; please report it with the model")
            ordered += ready
            pending -= {int(t) for op in ready for t in op.outputs}
            waiting = [op for op in waiting if op not in ready]
        self.subgraph.operators = ordered


class ModelFile:
    """A TFLite model as objects; `main` is the subgraph that the interpreter runs."""

    def __init__(self, content=None):
        """Starts an empty model, or reads one from the bytes of a `.tflite` file."""
        if content is None:
            self.model = schema.ModelT()
            self.model.version = 3
            self.model.operatorCodes, self.model.subgraphs = [], []
            self.model.buffers, self.model.metadata = [schema.BufferT()], []
        else:
            self.model = schema.ModelT.InitFromPackedBuf(content)
        self._buffers = {}
        for index, buffer in enumerate(self.model.buffers):
            if buffer.data is not None and len(buffer.data):
                self._buffers[np.asarray(buffer.data, np.uint8).tobytes()] = index

    @property
    def main(self):
        return Graph(self, self.model.subgraphs[0])

    def graph(self, name):
        """Adds a subgraph and returns it with its index."""
        subgraph = schema.SubGraphT()
        subgraph.name = name
        subgraph.tensors, subgraph.operators = [], []
        subgraph.inputs, subgraph.outputs = [], []
        self.model.subgraphs.append(subgraph)
        return Graph(self, subgraph), len(self.model.subgraphs) - 1

    def buffer(self, data):
        """Stores an array once, however many tensors hold the same bytes; returns its index."""
        content = np.ascontiguousarray(data).tobytes()
        if content not in self._buffers:
            self._buffers[content] = self.new_buffer(content)
        return self._buffers[content]

    def new_buffer(self, content):
        """Stores bytes in a buffer of their own; returns its index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def operator_code(self, name, version=None):
        """Returns the index of a builtin operator in this model's table, and adds it where it is missing.

        Args:
            name: the schema's name.
            version: the least version that this use of it needs; None for the version of the forms written here.
        """
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, _PLACEHOLDER_CODE)
        code.version = version or _OPERATOR_VERSIONS.get(name, 1)
        return self.adopt_code(code)

    def adopt_code(self, code):
        """Returns the index of an operator code, and adds it where it is missing; all uses of an operator share it."""
        for index, known in enumerate(self.model.operatorCodes):
            if builtin_code(known) == builtin_code(code) and known.customCode == code.customCode:
                known.version = max(known.version, code.version)
                return index
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def operator_name(self, operator):
        """Returns the schema's name of an operator, e.g. "FULLY_CONNECTED"; "CUSTOM:x" for others."""
        return reading.operator_name(self.model, operator)

    def pack(self):
        """Returns the bytes of the `.tflite` file."""
        for tensor in (tensor for graph in self.model.subgraphs for tensor in graph.tensors):
            # A scalar and a tensor of unknown rank have the same shape.
            tensor.hasRank = tensor.shape is None or not len(tensor.shape)
        return pack(self.model)


# The lowest version of each operator with the int8 form written here (tensorflow/lite/tools/versioning).
_OPERATOR_VERSIONS = {
    "ADD": 2,
    "DEQUANTIZE": 2,
    "FULLY_CONNECTED": 5,
    "GATHER": 2,
    "LOGISTIC": 2,
    "QUANTIZE": 2,
    "RELU": 2,
    "RESHAPE": 1,
    "SLICE": 2,
    "TANH": 2,
}


def builtin_code(code):
    """Returns an operator code's builtin number, whichever of the schema's two fields holds it."""
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def _pack_quantization(quantization):
    parameters = schema.QuantizationParametersT()
    parameters.scale = [float(s) for s in np.atleast_1d(quantization.scale)]
    parameters.zeroPoint = [int(z) for z in np.broadcast_to(quantization.zero_point, len(parameters.scale))]
    parameters.quantizedDimension = quantization.axis or 0
    return parameters
