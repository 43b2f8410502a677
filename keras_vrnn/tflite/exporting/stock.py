"""Runs the stock converter on the part of a model that contains no recurrence."""

import re
import warnings

import tensorflow as tf

from keras_vrnn import _native_log as native_log

# Operations that run another graph, or belong to a loop. The stock calibrator crashes the process on a file that
# contains one (tensorflow#75140, #87468), so it never gets such a graph.
_CONTROL_FLOW = {
    "Case",
    "If",
    "StatelessCase",
    "StatelessIf",
    "StatelessWhile",
    "TensorListFromTensor",
    "TensorListReserve",
    "While",
}

_INT8 = (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8)
_INTEGER = {
    "int8": _INT8,
    "int8x4": _INT8,  # `four_bit` rounds the weights of the products again
    "int16x8": (
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.int16,
    ),
}


def convert(concrete, quantization, samples=None):
    """Converts a traced function.

    Args:
        concrete: The tf ConcreteFunction.
        quantization: A key of `SCHEMES`.
        samples: For integer quantization, a function that yields lists of input arrays in the shapes of the function's
            inputs.

    Returns:
        The bytes of the `.tflite` file, with the inputs and outputs in the order of the function's.

    Raises:
        ValueError: The graph contains a loop, or an operation without a builtin operator for this quantization.
    """
    if samples is not None:
        refuse_loops(concrete, quantization)
    owner = tf.Module()
    owner.function = concrete
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)
    # Where the function reads no variable, the converter would save a SavedModel, which reorders the outputs.
    converter.experimental_lower_to_saved_model = False
    if quantization != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization in _INTEGER:
        operators, dtype = _INTEGER[quantization]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [operators]
        converter.inference_input_type = converter.inference_output_type = dtype
        # TFLite Micro on CMSIS-NN takes int16 products with one weight scale only.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = dtype == tf.int16
    log = []
    try:
        with warnings.catch_warnings(), native_log.kept() as log:
            # The converter uses tf.lite's interpreter itself, which is deprecated.
            warnings.simplefilter("ignore")
            return converter.convert()
    except Exception as error:  # the converter raises several kinds of its own
        raise refusal(error, log, quantization) from error


def refuse_loops(concrete, quantization):
    """Raises ValueError if a graph has a loop, which no quantizer takes."""
    loops = _control_flow(concrete)
    if loops:
        raise ValueError(
            f"`model` must have no loop besides its vanilla RNN layers with quantization={quantization!r}. Received: "
            f"the operations {', '.join(loops)}. Replace LSTM, GRU and custom recurrent cells by VanillaRNN, build "
            "them with unroll=True, or choose quantization='float32'."
        )


def refusal(error, log, quantization):
    """Returns the ValueError for an error of the converter, which names the layer's operations."""
    return ValueError(
        "`model` must have layers around its recurrences that the TFLite converter takes with "
        f"quantization={quantization!r}. Received: {_reason(error, log)}. Choose another quantization ('float32' "
        "takes the most layers), or replace the layer."
    )


def _control_flow(concrete):
    """Returns the names of the control flow operations in a graph and in the functions that it calls."""
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return sorted({node.op for node in nodes} & _CONTROL_FLOW)


def _reason(error, log):
    """Returns the converter's reason: the operations without a builtin operator, or the lines that name an error."""
    text = f"{error}\n" + "".join(log)
    operations = sorted(set(re.findall(r"^(?:TF Select|Custom) ops: (.+)$", text, re.MULTILINE)))
    if operations:
        return f"{', '.join(operations)}, for which TFLite has no builtin operator"
    lines = [line.strip() for line in text.splitlines() if "error:" in line]
    return ("\n".join(dict.fromkeys(lines)) or str(error)).rstrip(" .\n")
