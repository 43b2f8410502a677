"""Keeps states inside the interpreter: resource variables, and a signature that sets them to zero.

main     h_in = READ_VARIABLE(handle)  …  ASSIGN_VARIABLE(handle, h_out)
reset    ASSIGN_VARIABLE(handle, zeros)         runs once before the first invoke, and on request
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn.tflite.exporting.writing import edges
from keras_vrnn.tflite.exporting.writing.flatbuffer import RESOURCE
from keras_vrnn.tflite.running.engines import RESET


def keep(file, states, finals):
    """Turns every state into a variable.

    Args:
        file: The `ModelFile`.
        states: State name -> tensor of the main graph with which the recurrence starts.
        finals: State name -> tensor of the main graph with which it ends.
    """
    main = file.main
    reset, index = file.graph(RESET)
    for name, state in states.items():
        quantization = main.quantization(state)
        zero = np.full(main.shape(state), 0 if quantization is None else quantization.zero_point)
        _assign(
            reset, _handle(reset, name), reset.constant("zeros", zero.astype(main.dtype(state)), quantization)
        )
        handle = _handle(main, name)
        main.operator("READ_VARIABLE", [handle], [state], schema.ReadVariableOptionsT())
        _assign(main, handle, finals[name])
    options = schema.CallOnceOptionsT()
    options.initSubgraphIndex = index
    main.operator("CALL_ONCE", [], [], options)
    # sort_operators keeps the order of operators that are ready together, so this one runs first.
    main.subgraph.operators.insert(0, main.subgraph.operators.pop())
    edges.sign(file, RESET, index, {}, {})


def _handle(graph, name):
    handle = graph.tensor(f"{name}/handle", (), RESOURCE)
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = "", name
    graph.operator("VAR_HANDLE", [], [handle], options)
    return handle


def _assign(graph, handle, value):
    graph.operator("ASSIGN_VARIABLE", [handle, value], [], schema.AssignVariableOptionsT())
