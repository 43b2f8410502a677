"""Quantization-aware training: a model that computes the integers of its exported file (TensorFlow)."""

from typing import Any, Literal

import keras

from keras_vrnn import _checks as checks
from keras_vrnn.compression.copying import check_built
from keras_vrnn.compression.following import GRAPHS
from keras_vrnn.compression.quantized import conversion, signals
from keras_vrnn.layers.call_checks import named
from keras_vrnn.layers.interception import layers_of, recurrent_layers
from keras_vrnn.models import structure
from keras_vrnn.models.encoder_decoder import EncoderDecoder
from keras_vrnn.models.input_arrays import as_inputs
from keras_vrnn.training import Model
from keras_vrnn.training.trainer import GradientTraining

_CELLS = (keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell)
_BATCH = 64  # samples at a time in calibration; it limits memory and changes nothing


def quantize_aware(
    model: keras.Model,
    quantization: Literal["int8", "int16x8"] = "int8",
    *,
    weight_bits: Literal[8, 4] = 8,
    calibration_data: Any = None,
) -> keras.Model:
    """Copies a model into one that computes, in training and inference, the integers of its exported file.

        real = scale · (integer − zero point)

    Fine-tune the result with `fit`: the weights learn to work with rounded weights and signals, in the arithmetic of
    TFLite Micro's kernels (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 3). Gradients pass through the rounding as if it were the identity (the
    straight-through estimator: Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons for
    Conditional Computation"). The scales of weights follow the weights; the ranges of signals start from
    `calibration_data` and are moving averages in training. `kv.tflite.export` takes the scales from the model.

    Args:
        model: a built functional or Sequential model in float32, which stays as it is.
        quantization: "int8", or "int16x8" for int16 signals and int8 weights.
        weight_bits: 8, or 4 with "int8" for weights from -7 to 7, of which two share a byte.
        calibration_data: inputs of the model, as for `predict`. A few hundred samples of the training data do.

    Returns:
        An uncompiled functional model with the same weights, layer names and outputs. It is a `kv.Model` if `model` is
        one of this package. Optimizer state and pruning schedules start anew; pruned weights stay zero. With
        `weight_bits=4`, weights move a little, so that nearest rounding gives the integers of a calibrated file.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: an argument is wrong, or a layer has no integer form; the message names it.
        RuntimeError: the Keras backend is not TensorFlow.

    Example::

        trained = kv.compression.quantize_aware(model, "int8", calibration_data=x_train[:200])
        trained.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", global_clipnorm=1.0)
        trained.fit(x_train, y_train, epochs=3)
        kv.tflite.export(trained, "model.tflite")
    """
    signals.check_backend()
    scheme = _scheme(quantization, weight_bits)
    _check_model(model)
    if calibration_data is None:
        raise checks.refused(
            "calibration_data",
            "be inputs of the model, such as x_train[:200]",
            None,
            "The ranges of the signals start from them.",
        )
    arrays = as_inputs(model, calibration_data, "calibration_data")
    batch_size = model.inputs[0].shape[0]
    if batch_size is not None and len(arrays[0]) % batch_size:
        raise ValueError(
            f"`calibration_data` must hold a multiple of {batch_size} samples, the batch size of the model. Received: "
            f"{len(arrays[0])} samples."
        )
    made = conversion.converted(model, scheme)
    kind = Model if isinstance(model, GradientTraining) else keras.Model
    made = kind(made.input, made.output, name=model.name)
    size = batch_size or _BATCH
    with signals.calibrating():
        for start in range(0, len(arrays[0]), size):
            structure.call(made, [array[start : start + size] for array in arrays])
    for layer in layers_of(made):
        if hasattr(layer, "signals"):
            layer.signals.moments.apply()
    for layer in recurrent_layers(made):
        if layer.stateful:
            layer.reset_state()
    return made


def _scheme(quantization, weight_bits):
    checks.one_of("quantization", quantization, ("int8", "int16x8"))
    bits = checks.as_integer(weight_bits)
    if bits not in (8, 4):
        raise checks.refused("weight_bits", "be 8 or 4", weight_bits)
    if bits == 4 and quantization == "int16x8":
        raise checks.refused(
            "weight_bits",
            "be 8 with quantization='int16x8'",
            weight_bits,
            "TFLite Micro has no kernel for int16 signals with 4-bit weights; use quantization='int8'.",
        )
    return "int8x4" if bits == 4 else quantization


def _check_model(model):
    check_built(model)
    kind = f'{type(model).__name__} "{model.name}"'
    if isinstance(model, EncoderDecoder):
        raise ValueError(
            f"`model` must be a functional or Sequential model. Received: {kind}, whose decoder reads its own outputs. "
            "Train it in float32 and export it with kv.tflite.export(model, path, calibration_data=...)."
        )
    if not isinstance(model, GRAPHS):
        raise ValueError(
            f"`model` must be a functional or Sequential model. Received: {kind}, whose `call` is Python code. Build "
            "it from a keras.Input with keras.Model(inputs, outputs)."
        )
    if not any(isinstance(layer.cell, _CELLS) for layer in recurrent_layers(model)):
        raise ValueError(
            f"`model` must contain a VanillaRNN, FastRNN, SimpleRNN, GRU or LSTM layer. Received: {kind} without any, "
            "which kv.tflite.export does not write. tf.lite.TFLiteConverter quantizes models without recurrences."
        )
    for layer in layers_of(model):
        if hasattr(layer, "signals"):
            raise ValueError(
                f"`model` must be a float model. Received: {kind}, which is quantization-aware already: {named(layer)}"
                ". Train it further as it is, or start from the float model."
            )
        if layer.compute_dtype != "float32" and layer.variables:
            raise ValueError(
                f"`model` must compute in float32. Received: {named(layer)}, which computes in {layer.compute_dtype}. "
                'Build the model with keras.config.set_dtype_policy("float32") and copy the weights.'
            )
