"""Removes what no runtime reads from a model file: it takes flash and, in TFLite Micro, arena for every tensor."""

from keras_vrnn.tflite.exporting.writing.flatbuffer import NO_BUFFER


def remove(file):
    """Removes unused tensors, buffers and operator codes of a `ModelFile`, and the calibrated ranges."""
    for index, subgraph in enumerate(file.model.subgraphs):
        signatures = [s for s in file.model.signatureDefs if s.subgraphIndex == index]
        _remove_tensors(subgraph, [entry for s in signatures for entry in (*s.inputs, *s.outputs)])
    tensors = [tensor for subgraph in file.model.subgraphs for tensor in subgraph.tensors]
    for tensor in tensors:
        if tensor.quantization is not None:  # only the converter needs min and max
            tensor.quantization.min = tensor.quantization.max = None
            if tensor.quantization.scale is None or not len(tensor.quantization.scale):
                tensor.quantization = None
    holders = [*tensors, *file.model.metadata]
    file.model.buffers = _keep(
        file.model.buffers, {NO_BUFFER, *(h.buffer for h in holders)}, holders, "buffer"
    )
    remove_operator_codes(file)


def remove_operator_codes(file):
    """Removes the codes of operators that a `ModelFile` does not contain."""
    operators = [operator for subgraph in file.model.subgraphs for operator in subgraph.operators]
    codes = {operator.opcodeIndex for operator in operators}
    file.model.operatorCodes = _keep(file.model.operatorCodes, codes, operators, "opcodeIndex")


def _remove_tensors(subgraph, named):
    """Removes tensors that no operator, input or output uses; `named` are the entries of the signatures."""
    lists = [(subgraph, "inputs"), (subgraph, "outputs")]
    lists += [(operator, end) for operator in subgraph.operators for end in ("inputs", "outputs")]
    used = {int(index) for owner, end in lists for index in getattr(owner, end)} - {-1}
    new = {old: index for index, old in enumerate(sorted(used))} | {-1: -1}
    for owner, end in lists:
        setattr(owner, end, [new[int(index)] for index in getattr(owner, end)])
    for entry in named:
        entry.tensorIndex = new[entry.tensorIndex]
    subgraph.tensors = [subgraph.tensors[index] for index in sorted(used)]


def _keep(items, used, holders, attribute):
    """Returns the items with an index in `used`, and updates the attribute of the holders to their new indices."""
    new = {old: index for index, old in enumerate(sorted(used))}
    for holder in holders:
        setattr(holder, attribute, new[getattr(holder, attribute)])
    return [items[index] for index in sorted(used)]
