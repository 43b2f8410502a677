"""Rounds the weights of a converted stock part to four bits.

The stock converter has no 4-bit weights. It makes an int8 file and a float32 file of the same graph: the first gives
the formats of the signals, the second gives the weights and, on calibration data, the values that they multiply. Only
FULLY_CONNECTED gets 4-bit weights; docs/decisions/four_bit.md lists the operators whose kernels take them.
"""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_vrnn.quantization.rounding import MOST_INPUTS
from keras_vrnn.quantization.schemes import Stored
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile


def requantize(file, float_content, scheme, samples):
    """Gives every FULLY_CONNECTED of an int8 file the weights and the bias that a scheme makes of the float ones.

    Args:
        file: the `ModelFile` of the int8 file.
        float_content: the bytes of the float32 file of the same function.
        scheme: the quantization scheme.
        samples: a function that yields lists of input arrays, as for calibration. None rounds each weight to nearest,
            as quantization-aware training does.
    """
    main, exact = file.main, ModelFile(float_content)
    originals = _products(exact.main)
    moments = {} if samples is None else _moments(float_content, exact.main, originals, samples)
    for operator in _products(main):
        x, weights, *_ = map(int, operator.inputs)
        original = originals.pop(_find(main, weights, exact.main, originals))
        source, matrix, bias = map(int, original.inputs)
        stored, stored_bias = scheme.product(
            exact.main.data(matrix).T,
            None if bias < 0 else exact.main.data(bias),
            main.quantization(x),
            main.quantization(int(operator.outputs[0])),
            moments.get(source),
        )
        # New tensors: an operator that shares its weights with another one needs a bias of its own.
        bias = -1 if stored_bias is None else main.stored("bias", stored_bias)
        operator.inputs = [x, main.stored("weights", stored), bias]


def pack(file):
    """Stores the weights of every FULLY_CONNECTED of an int8 file, which are from -7 to 7, as 4-bit integers."""
    main = file.main
    for operator in _products(main):
        x, weights, *bias = map(int, operator.inputs)
        stored = Stored(main.data(weights), main.quantization(weights), int4=True)
        operator.inputs = [x, main.stored("weights", stored), *bias]


def _products(graph):
    """Returns the FULLY_CONNECTED operators of a graph with constant weights."""
    return [
        operator
        for operator in graph.subgraph.operators
        if graph.file.operator_name(operator) == "FULLY_CONNECTED"
        and graph.data(int(operator.inputs[1])) is not None
    ]


def _find(main, weights, exact, candidates):
    """Returns the position of the first float operator whose weights round to the integers of a tensor."""
    integers, quantization = main.data(weights), main.quantization(weights)
    scale = np.reshape(quantization.scale, (-1, 1))
    for k, operator in enumerate(candidates):
        real = exact.data(int(operator.inputs[1]))
        # Half a step, and what float32 loses of 127 of them.
        if real.shape == integers.shape and np.all(np.abs(real / scale - integers) <= 0.5 + 127 * 2.0**-22):
            return k
    raise RuntimeError(
        f"the float weights of {main.subgraph.tensors[weights].name!r} were not found; please report it with the model"
    )


def _moments(content, graph, products, samples):
    """Returns input tensor of a product -> (count, Σ x·xᵀ) on the samples."""
    sources = {int(operator.inputs[0]) for operator in products}
    sources = {i for i in sources if graph.data(i) is None and graph.shape(i)[-1] <= MOST_INPUTS}
    if not sources:
        return {}
    # XNNPACK would compute some of the tensors where nobody can read them.
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=kernels, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    inputs = [detail["index"] for detail in interpreter.get_input_details()]
    sums = dict.fromkeys(sources, (0, 0.0))
    for sample in samples():
        for index, array in zip(inputs, sample, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        for i in sources:
            x = interpreter.get_tensor(i).astype(np.float64)
            x = x.reshape(-1, x.shape[-1])
            sums[i] = sums[i][0] + len(x), sums[i][1] + x.T @ x
    return sums
