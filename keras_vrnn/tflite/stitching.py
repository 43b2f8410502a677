"""Joins the converted stock part and the lowered recurrences into one model with a named signature."""

from ai_edge_litert import schema_py_generated as schema

from keras_vrnn._version import __version__
from keras_vrnn.tflite import lowering, operators
from keras_vrnn.tflite.flatbuffer import ModelFile

SIGNATURE = "serving_default"


def stitch(partition, stock, rules_of, input_quantization, unrolled=False):
    """Builds the whole model.

    Args:
        partition: the `Partition` of the Keras model.
        stock: bytes of its converted stock part, or None where the model is nothing but recurrences.
        rules_of: recurrence name -> number format from `rules`.
        input_quantization: input name -> `Quantization` (or None) for inputs that the stock part does not read.
        unrolled: writes the recurrences step after step instead of as loops.

    Returns:
        The finished `ModelFile`.
    """
    file = ModelFile(stock)
    if stock is None:
        file.graph("main")
    main = file.main
    values = {}
    if stock is not None:
        values |= zip(partition.stock_inputs, map(int, main.subgraph.inputs), strict=True)
        values |= zip(partition.stock_outputs, map(int, main.subgraph.outputs), strict=True)
    expected = {name: index for name, index in values.items() if name not in partition.stock_outputs}

    integer = next(iter(rules_of.values())).dtype
    for name, spec in partition.inputs.items():
        if name not in values:
            quantization = input_quantization.get(name)
            dtype = spec.dtype.as_numpy_dtype if quantization is None else integer
            values[name] = main.tensor(name, spec.shape, dtype, quantization)
    for mask, tokens in partition.masks.items():
        values[mask] = operators.not_zero(main, mask, values[tokens])
    for recurrence in partition.recurrences:
        lowering.lower(recurrence, rules_of[recurrence.name], file, values, unrolled)
        for made in (recurrence.sequence, recurrence.final):
            if made in expected:
                _connect(main, values, source=values[made], target=expected[made])

    main.subgraph.inputs = [values[name] for name in partition.inputs]
    main.subgraph.outputs = _distinct(main, [values[value] for value in partition.outputs.values()])
    main.sort_operators()
    _sign(file, partition)
    return file


def _connect(main, values, source, target):
    """Lets `source` take the place of `target`, a former input of the stock part."""
    if not _same(main.quantization(source), main.quantization(target)):
        main.operator("QUANTIZE", [source], [target], schema.QuantizeOptionsT())
        return
    for operator in main.subgraph.operators:
        operator.inputs = [source if int(t) == target else int(t) for t in operator.inputs]
    for name, index in values.items():
        if index == target:
            values[name] = source


def _same(one, other):
    """Equal but for the last digit, in which the converter's float32 and our float64 may differ."""
    if one is None or other is None:
        return one is other
    return one.zero_point == other.zero_point and abs(one.scale - other.scale) <= 1e-6 * one.scale


def _distinct(main, outputs):
    """Gives every output a tensor of its own: an interpreter takes no tensor that is output or input twice."""
    taken = set(main.subgraph.inputs)
    distinct = []
    for index in outputs:
        if index in taken:
            index = operators.reshape(main, "output", index, main.shape(index))
        taken.add(index)
        distinct.append(index)
    return distinct


def _sign(file, partition):
    """Names the inputs and outputs, and the package that wrote the file."""

    def tensor_map(names, indices):
        maps = []
        for name, index in zip(names, indices, strict=True):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, index
            file.main.subgraph.tensors[index].name = name
            maps.append(entry)
        return maps

    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = tensor_map(partition.inputs, file.main.subgraph.inputs)
    signature.outputs = tensor_map(partition.outputs, file.main.subgraph.outputs)
    file.model.signatureDefs = [signature]
    file.model.description = f"keras-vrnn {__version__}"
