"""Prepares a user's model for the export: float32, no states from earlier batches, integer token ids.

Needs the TensorFlow backend.
"""

from keras_vrnn.layers.interception import layers_of, recurrent_layers
from keras_vrnn.tflite.exporting.capture.inputs import with_float32_inputs, with_integer_tokens
from keras_vrnn.tflite.exporting.capture.rebuilding import rebuilt
from keras_vrnn.tflite.exporting.recurrences import exported_layers, has_own_step
from keras_vrnn.tflite.exporting.stateful import is_stateful


def prepared(model):
    """Returns a model that computes the same as `model`, in float32 and from zero states; `model` itself if it does.

    Raises:
        ValueError: The model can't be exported.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ValueError(
            f"`model` must be a built functional or Sequential Keras model. Received: a {type(model).__name__} without "
            "inputs. Start a Sequential model with keras.Input, or wrap the layers in a functional model."
        )
    recurrent = exported_layers(model)
    if not recurrent:
        others = [f"{layer.name!r} ({type(layer).__name__})" for layer in recurrent_layers(model)]
        advice = (
            "tf.lite.TFLiteConverter writes other recurrences where the batch size is fixed (keras.Input(..., "
            "batch_size=1)), and quantizes them to integers where they are built with unroll=True too."
            if others
            else "tf.lite.TFLiteConverter takes models without recurrences."
        )
        raise ValueError(
            "`model` must contain a VanillaRNN, FastRNN, SimpleRNN, GRU or LSTM layer. "
            f"Received: {'the recurrent layers ' + ', '.join(others) if others else 'a model without any'}. {advice}"
        )
    for layer in recurrent:
        if has_own_step(layer):
            raise ValueError(
                "`model` must have cells that compute what the class of this package or of Keras does. "
                f"Received: layer {layer.name!r} with a {type(layer.cell).__name__}, which has a `call` of its own."
            )
    types = {str(layer.compute_dtype) for layer in layers_of(model)}
    other = any("float" in name and name != "float32" for name in types)
    plain = rebuilt(model) if is_stateful(model) or other else model
    return with_float32_inputs(with_integer_tokens(plain))
