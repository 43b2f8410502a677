"""The stock converter, for the part of a model that holds no recurrence."""

import re
import warnings

import tensorflow as tf

from keras_vrnn.tflite.exporting import converter_log

# Operations that run another graph, or belong to a loop. Calibrating a file that holds one crashes the process in the
# stock calibrator (tensorflow#75140, #87468), so such a graph is never handed to it.
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

_INTEGER = {
    "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
    "int16x8": (
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.int16,
    ),
}


def convert(concrete, quantization, samples=None):
    """Converts a traced function.

    Args:
        concrete: the tf ConcreteFunction.
        quantization: a key of `SCHEMES`.
        samples: for the integer ones a function that yields lists of input arrays, each with the shape of the
            function's inputs.

    Returns:
        The bytes of the `.tflite` file, whose inputs and outputs have the order of the function's.

    Raises:
        ValueError: the graph holds a loop, or an operation that has no full-integer builtin.
    """
    loops = _control_flow(concrete)
    if loops and samples is not None:
        raise ValueError(
            f"model: it holds a loop besides its vanilla RNN layers (operations {', '.join(loops)}), which "
            f"cannot be exported with quantization={quantization!r}. Replace LSTM, GRU and custom recurrent cells by "
            "VanillaRNN, build them with unroll=True, or choose quantization='float32'."
        )
    owner = tf.Module()
    owner.function = concrete
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)
    # By way of a SavedModel, which it takes where no variable is read, it reorders the outputs and adds a signature.
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
        with warnings.catch_warnings(), converter_log.kept() as log:
            # Its deprecation notices concern tf.lite's interpreter, which it uses itself.
            warnings.simplefilter("ignore")
            return converter.convert()
    except Exception as error:  # the converter raises several kinds of its own
        raise ValueError(
            f"model: the TFLite converter refused the layers around the recurrence for quantization={quantization!r}; "
            f"choose another one ('float32' takes the most layers), or replace the layer. {_reason(error, log)}"
        ) from error


def _control_flow(concrete):
    """Names of the control flow operations of a graph and of the functions that it calls."""
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return sorted({node.op for node in nodes} & _CONTROL_FLOW)


def _reason(error, log):
    """What the converter gives as its reason: the operations without a builtin, or the lines that name an error."""
    text = f"{error}\n" + "".join(log)
    operations = sorted(set(re.findall(r"^(?:TF Select|Custom) ops: (.+)$", text, re.MULTILINE)))
    if operations:
        return f"TFLite has no builtin operator for {', '.join(operations)}"
    lines = [line.strip() for line in text.splitlines() if "error:" in line]
    return "\n".join(dict.fromkeys(lines)) or str(error)
