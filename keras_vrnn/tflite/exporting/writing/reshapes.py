"""Removes RESHAPE operators that do nothing together: marks between them keep the converter from doing so."""


def fold(main):
    """Joins a RESHAPE with the next one, and a FULLY_CONNECTED with one on either side.

    Args:
        main: The main `Graph` of a float file.
    """
    made = {index: operator for operator in main.subgraph.operators for index in operator.outputs}
    for operator in _reshapes(main):
        dense = made.get(operator.inputs[0])
        if dense is not None and main.file.operator_name(dense) == "FULLY_CONNECTED":
            _keep_axes(main, dense, operator, made)
    for operator in _reshapes(main):
        while (before := made.get(operator.inputs[0])) is not None and _is_reshape(main, before):
            operator.inputs = [before.inputs[0], *operator.inputs[1:]]
    for operator in _reshapes(main):
        (result,) = operator.outputs
        if main.shape(operator.inputs[0]) == main.shape(result) and result not in main.subgraph.outputs:
            _replace(main, result, operator.inputs[0])
    _drop_unread(main)


def _keep_axes(main, dense, behind, made):
    """Makes a FULLY_CONNECTED keep the axes that one RESHAPE joins before it and another restores behind it."""
    before = made.get(dense.inputs[0])
    inner, outer = dense.outputs[0], behind.outputs[0]
    if before is None or not _is_reshape(main, before) or _readers(main, inner) != [behind]:
        return
    source = before.inputs[0]
    if main.shape(source)[-1:] != main.shape(dense.inputs[0])[-1:]:
        return
    if main.shape(source)[:-1] != main.shape(outer)[:-1] or inner in main.subgraph.outputs:
        return
    dense.inputs = [source, *dense.inputs[1:]]
    dense.outputs, made[outer] = [outer], dense
    dense.builtinOptions.keepNumDims = True
    main.subgraph.operators.remove(behind)


def _drop_unread(main):
    """Removes RESHAPE operators whose result nothing reads."""
    while unread := [
        operator
        for operator in _reshapes(main)
        if operator.outputs[0] not in main.subgraph.outputs and not _readers(main, operator.outputs[0])
    ]:
        main.subgraph.operators = [each for each in main.subgraph.operators if each not in unread]


def _replace(main, old, new):
    for operator in main.subgraph.operators:
        operator.inputs = [new if index == old else index for index in operator.inputs]


def _readers(main, index):
    return [operator for operator in main.subgraph.operators if index in operator.inputs]


def _reshapes(main):
    return [operator for operator in main.subgraph.operators if _is_reshape(main, operator)]


def _is_reshape(main, operator):
    return main.file.operator_name(operator) == "RESHAPE"
