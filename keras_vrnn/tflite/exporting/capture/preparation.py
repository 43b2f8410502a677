"""A user's model as the exporter needs it: float32, without a memory of the batch before, integer token ids.

Needs the TensorFlow backend.
"""

import keras
import numpy as np

from keras_vrnn.layers import VanillaRNNCell
from keras_vrnn.layers.interception import layers_of, vanilla_layers
from keras_vrnn.tflite.exporting.capture.inputs import with_integer_tokens

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
    plain = all(layer.compute_dtype in ("float32", "int32") for layer in layers_of(model))
    return with_integer_tokens(model if plain and not stateful else _rebuilt(model))


def _rebuilt(model):
    """The model anew from its configuration, float32 and not stateful, with the same weights."""
    try:
        rebuilt = type(model).from_config(_plain(model.get_config()))
        for old, new in zip(model.weights, rebuilt.weights, strict=True):
            new.assign(np.asarray(old, np.float32) if "float" in new.dtype else old)
    except Exception as error:  # of the user's own layers: any kind
        raise ValueError(
            "model: it is stateful or computes in another type than float32, and can't be rebuilt otherwise "
            f"({error}). Build it with dtype='float32' and stateful=False, and copy the weights."
        ) from error
    return rebuilt


def _plain(config):
    """A configuration of layers, nested as it may be, with float32, without states and fixed batch sizes."""
    if isinstance(config, (list, tuple)):
        return [_plain(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {key: _plain_entry(key, value) for key, value in config.items()}


def _plain_entry(key, value):
    if key == "dtype" and (isinstance(value, dict) or "float" in str(value)):
        return "float32"
    if key == "stateful":
        return False
    if key == "batch_shape" and value is not None:
        return [None, *value[1:]]
    return _plain(value)
