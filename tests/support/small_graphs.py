"""TFLite files of a few operators, built by hand and run in LiteRT."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_vrnn.tflite.exporting.writing import metadata, unused
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile


def new_graph():
    """An empty file with its main graph."""
    file = ModelFile()
    file.graph("main")
    file.model.signatureDefs = []
    return file, file.main


def finished(file, inputs, outputs):
    """The bytes of a file with these tensors as inputs and outputs."""
    main = file.main
    main.subgraph.inputs, main.subgraph.outputs = list(inputs), list(outputs)
    main.sort_operators()
    metadata.write(file)
    unused.remove(file)
    return file.pack()


def run(content, *arrays):
    """Runs a file once on arrays as its tensors hold them; returns its outputs, as they are too."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.set_tensor(detail["index"], np.asarray(array, detail["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def computed(build, *arrays, quantization=None):
    """What the operators compute that `build(graph, *tensors)` adds for inputs of these arrays."""
    file, main = new_graph()
    inputs = [main.tensor(f"x{k}", a.shape, a.dtype, quantization) for k, a in enumerate(arrays)]
    made = build(main, *inputs)
    return run(finished(file, inputs, made if isinstance(made, list) else [made]), *arrays)
