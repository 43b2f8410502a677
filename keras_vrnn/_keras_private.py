"""The private names of Keras and TensorFlow that this package uses, each with the reason.

Private names move between releases. A test holds the package to this list, so that an upgrade has one list to check.
"""

from __future__ import annotations

from typing import Any

NAMES = {
    "_calibrator": "The int16 quantizer behind `tf.lite`, on a file that states its ranges; see `MODULES`.",
    "_compile_metrics": "Whether `compile` was given metrics; `metrics` lists all trackers once the model is built.",
    "_compute_loss": "`compute_loss` with or without the `training` argument that a subclass may lack.",
    "_eval_epoch_iterator": "The iterator of validation data that `fit` makes while its choices hold; `evaluate` sets "
    "its steps per execution back.",
    "_experimental_disable_per_channel_quantization_for_dense_layers": "The TFLite converter's only switch for int16 "
    "weights per tensor, which CMSIS-NN needs.",
    "_flatten_layers": "All layers of a model, including layers that wrappers hold; `layers` stops at the wrapper.",
    "_flatten_metrics_in_order": "Logs in the order that Keras prints.",
    "_get_control_flow_context": "Whether XLA is to compile a graph; it cannot run the native op: see `in_xla`.",
    "_keras_mask": "The mask of a tensor where a model is run in parts: Keras passes masks on this attribute alone.",
    "_loss_tracker": "The mean of the loss that Keras' own `train_step` updates.",
    "_maybe_symbolic_build": "Overridden because Keras' own fails under MultiWorkerMirroredStrategy.",
}

MODULES = {
    "keras.src.trainers.data_adapters.array_data_adapter": "`ArrayDataAdapter`: how `fit` checks arrays, converts them "
    "and makes weights of `class_weight`.",
    "keras.src.trainers.data_adapters.data_adapter": "`DataAdapter`: the only way to give `fit` data without "
    "the pipeline that Keras builds, which costs a small model more than its updates.",
    "tensorflow.lite.python.convert": "`mlir_quantize`: the converter's int8 quantizer. `tf.lite.TFLiteConverter` runs "
    "it only on ranges that it has calibrated itself, and learned ranges are not calibrated ones.",
    "tensorflow.lite.python.optimize.calibrator": "`Calibrator`: the converter's int16 quantizer, for the same reason.",
}


def quantized_int8(content: bytes) -> bytes:
    """A float `.tflite` file whose tensors state their ranges, with int8 signals, inputs and outputs."""
    import tensorflow as tf
    from tensorflow.lite.python import convert  # noqa: TID251 - see MODULES

    return convert.mlir_quantize(
        content, fully_quantize=True, input_data_type=tf.int8, output_data_type=tf.int8
    )


def quantized_int16(content: bytes) -> bytes:
    """The same with int16 signals, int64 biases, and one scale per weight matrix of a dense layer."""
    import numpy as np
    from tensorflow.lite.python.optimize import calibrator  # noqa: TID251 - see MODULES

    int16, int64 = np.dtype("int16").num, np.dtype("int64").num
    # Input, output, whether floats may stay, signals, biases, per-tensor weights: everywhere, in dense layers.
    return calibrator.Calibrator(content)._calibrator.QuantizeModel(
        int16, int16, False, int16, int64, False, True
    )


def data_adapters() -> tuple[Any, Any]:
    """The base class of what `fit` reads data from, and the class for arrays."""
    from keras.src.trainers.data_adapters import (  # noqa: TID251 - see MODULES
        array_data_adapter,
        data_adapter,
    )

    return data_adapter.DataAdapter, array_data_adapter.ArrayDataAdapter


def flatten_layers(layer: Any) -> list[Any]:
    """All layers inside a layer or model, at any depth."""
    return list(layer._flatten_layers(include_self=False))


def children(layer: Any) -> list[Any]:
    """The layers directly inside a layer or model."""
    return list(layer._flatten_layers(recursive=False, include_self=False))


def in_xla() -> bool:
    """Whether the program that is being traced will be compiled by XLA; also where TensorFlow no longer tells."""
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        try:
            context = graph._get_control_flow_context()
            while context is not None:
                if context.IsXLAContext():
                    return True
                context = context.outer_context
        except AttributeError:
            return True
        graph = getattr(graph, "outer_graph", None)
    return False
