"""Packs the objects of a model into the bytes of a file, and stores equal parts once."""

import flatbuffers
import numpy as np

from keras_vrnn.tflite import digest

_IDENTIFIER = b"TFL3"
# The vectors of quantization parameters; converters leave some out.
_NUMBERS = {"min": np.float32, "max": np.float32, "scale": np.float32, "zeroPoint": np.int64}
_ALIGNMENT = 16  # the schema's force_align of a buffer's data: a microcontroller reads int32 there


def pack(model):
    """Returns the bytes of a `.tflite` file, with its digest if the metadata has an entry for one.

    Args:
        model: the schema's ModelT.
    """
    tensors = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
    shared = {}
    for tensor in tensors:
        tensor.shape = _numbers(tensor.shape)
        if tensor.quantization is not None:
            tensor.quantization = _Shared.of(tensor.quantization, shared)
    for operator in (operator for subgraph in model.subgraphs for operator in subgraph.operators):
        operator.inputs, operator.outputs = _numbers(operator.inputs), _numbers(operator.outputs)
    builder = _Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return digest.sealed(bytes(builder.Output()))


def _numbers(values):
    return np.asarray([] if values is None else values, np.int32)  # None: an empty vector in the file


class _Builder(flatbuffers.Builder):
    """Writes equal strings and equal vectors of numbers once."""

    def __init__(self, size):
        super().__init__(size)
        self._strings, self._vectors = {}, {}

    def CreateString(self, text, *options):
        if text not in self._strings:
            self._strings[text] = super().CreateString(text, *options)
        return self._strings[text]

    def CreateNumpyVector(self, x):
        key = x.dtype.str, x.tobytes()
        if key not in self._vectors:
            if x.dtype == np.uint8:
                self.Prep(4, x.size)  # the length in front of the data
                self.Prep(_ALIGNMENT, x.size)
            self._vectors[key] = super().CreateNumpyVector(x)
        return self._vectors[key]


class _Shared:
    """The quantization parameters of several tensors, written once."""

    def __init__(self, parameters):
        self.parameters, self._offset = parameters, None

    @classmethod
    def of(cls, parameters, known):
        """Returns the one in `known` with equal content, added if need be."""
        if isinstance(parameters, cls):  # a model packed before
            parameters = parameters.parameters
        key = [parameters.quantizedDimension, id(parameters.details) if parameters.details else None]
        for name, dtype in _NUMBERS.items():
            listed = getattr(parameters, name)
            if listed is not None:
                listed = np.asarray(listed, dtype)
                setattr(parameters, name, listed)
            key.append(None if listed is None else listed.tobytes())
        return known.setdefault(tuple(key), cls(parameters))

    def Pack(self, builder):
        if self._offset is None:
            self._offset = self.parameters.Pack(builder)
        return self._offset
