"""The edges of a model file: its inputs and outputs, their types and their names."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.tflite.exporting.writing import operators as op

_INTEGERS = (np.dtype("int8"), np.dtype("int16"))


def float_input(main, index):
    """Returns a float32 input that is quantized to the tensor `index`; one that is not quantized stays as it is."""
    if not _is_quantized(main, index):
        return index
    source = main.tensor("input_float32", main.shape(index), np.float32)
    op.quantize_into(main, source, index)
    return source


def float_output(main, index):
    """Returns a tensor as float32; one that is not quantized stays as it is."""
    return op.dequantize(main, "output_float32", index) if _is_quantized(main, index) else index


def _is_quantized(main, index):
    return main.dtype(index) in _INTEGERS and main.quantization(index) is not None


def sign(file, key, graph_index, inputs, outputs):
    """Adds a signature.

    Args:
        file: the `ModelFile`.
        key: the signature's name.
        graph_index: the subgraph that it runs.
        inputs, outputs: name -> tensor of that subgraph.
    """
    tensors = file.model.subgraphs[graph_index].tensors

    def tensor_map(named):
        maps = []
        for name, index in named.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, index
            tensors[index].name = name
            maps.append(entry)
        return maps

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key, graph_index
    signature.inputs, signature.outputs = tensor_map(inputs), tensor_map(outputs)
    file.model.signatureDefs = [*(file.model.signatureDefs or []), signature]
