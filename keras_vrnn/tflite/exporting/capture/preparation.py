"""A user's model as the exporter needs it: float32, without a memory of the batch before, integer token ids.

Needs the TensorFlow backend.
"""

import keras

from keras_vrnn.layers import VanillaRNNCell
from keras_vrnn.layers.interception import layers_of, vanilla_layers
from keras_vrnn.tflite.exporting.capture.inputs import with_integer_tokens
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
        raise ValueError(
            "model: it holds no VanillaRNN or SimpleRNN layer; the stock tf.lite.TFLiteConverter exports it."
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
    return with_integer_tokens(rebuilt(model) if stateful or other else model)
