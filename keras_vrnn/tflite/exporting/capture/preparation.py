"""A user's model as the exporter needs it: float32, without a memory of the batch before, integer token ids.

Needs the TensorFlow backend.
"""

import keras

from keras_vrnn.layers import VanillaRNNCell
from keras_vrnn.layers.interception import layers_of, recurrent_layers, vanilla_layers
from keras_vrnn.tflite.exporting.capture.inputs import with_float32_inputs, with_integer_tokens
from keras_vrnn.tflite.exporting.capture.rebuilding import rebuilt

_STEPS = (keras.layers.SimpleRNNCell.call, VanillaRNNCell.call)


def prepared(model):
    """Returns a model that computes the same as `model` from a zero state in float32, the same one where it can.

    Raises:
        ValueError: it can't be exported.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ValueError(
            f"model: expected a built functional or Sequential Keras model, received {type(model).__name__} "
            "without inputs. Start a Sequential model with keras.Input, or wrap the layers in a functional model."
        )
    recurrent = vanilla_layers(model)
    if not recurrent:
        others = [f"{layer.name!r} ({type(layer).__name__})" for layer in recurrent_layers(model)]
        raise ValueError(
            "model: it holds no VanillaRNN or SimpleRNN layer. "
            + (
                f"{', '.join(others)}: tf.lite.TFLiteConverter writes other recurrences where the batch size is fixed "
                "(keras.Input(..., batch_size=1)), and with integers where they are built with unroll=True too."
                if others
                else "tf.lite.TFLiteConverter takes a model without recurrences."
            )
        )
    for layer in recurrent:
        if type(layer.cell).call not in _STEPS:
            raise ValueError(
                f"model: the cell of layer {layer.name!r} is a {type(layer.cell).__name__} with a `call` of its own, "
                "which can't be exported; use VanillaRNNCell or keras.layers.SimpleRNNCell."
            )
    stateful = any(getattr(layer, "stateful", False) for layer in layers_of(model))
    types = {str(layer.compute_dtype) for layer in layers_of(model)}
    other = any("float" in name and name != "float32" for name in types)
    plain = rebuilt(model) if stateful or other else model
    return with_float32_inputs(with_integer_tokens(plain))
