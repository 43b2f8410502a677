"""The quantized form of each layer.

has integer arithmetic of its own       a class of this package
moves or picks integers                 the Keras class, whose result carries the format of its input
anything else                           refused by name
"""

import keras

from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.convolution import QuantizedConv1D, QuantizedDepthwiseConv1D
from keras_vrnn.compression.quantized.linear import QuantizedDense
from keras_vrnn.compression.quantized.pooling import (
    QuantizedAveragePooling1D,
    QuantizedGlobalAveragePooling1D,
)
from keras_vrnn.compression.quantized.scaling import scaling
from keras_vrnn.compression.quantized.vanilla_rnn import QuantizedVanillaRNN, check_activation
from keras_vrnn.layers import VanillaRNN


class Moving:
    """A layer that moves integers or picks some of them; a mixin."""

    def call(self, inputs, *args, **kwargs):
        made = super().call(inputs, *args, **kwargs)
        if signals.is_calibrating():
            return made
        quantization = signals.format_of(inputs, self)
        signals.note(self, {"out": quantization})
        return signals.carrying(made, quantization)

    def plain(self, inputs, note, mark, *args, **kwargs):
        """Returns what the file computes as float operators, whose results `mark` gives their formats."""
        return mark(super().call(inputs, *args, **kwargs), note.formats["out"])


def _moving(kind):
    name = f"Quantized{kind.__name__}"
    made = type(
        name, (Moving, kind), {"__doc__": f"A `{kind.__name__}` that hands the format of its input on."}
    )
    return keras.saving.register_keras_serializable(package="keras_vrnn")(made)


_MOVING = {
    kind: _moving(kind)
    for kind in (
        keras.layers.Cropping1D,
        keras.layers.Dropout,
        keras.layers.Flatten,
        keras.layers.GlobalMaxPooling1D,
        keras.layers.Identity,
        keras.layers.MaxPooling1D,
        keras.layers.Permute,
        keras.layers.RepeatVector,
        keras.layers.Reshape,
        keras.layers.SpatialDropout1D,
        keras.layers.UpSampling1D,
    )
}


def _vanilla(layer, scheme):
    check_activation(layer, scheme)
    return QuantizedVanillaRNN.from_config({**layer.get_config(), "scheme": scheme})


def _own(kind):
    """The form of a layer whose class takes the configuration of the Keras layer and the scheme."""
    return lambda layer, scheme: kind.from_config({**layer.get_config(), "scheme": scheme})


_FORMS = {
    keras.layers.AveragePooling1D: _own(QuantizedAveragePooling1D),
    keras.layers.BatchNormalization: scaling,
    keras.layers.Conv1D: _own(QuantizedConv1D),
    keras.layers.Dense: _own(QuantizedDense),
    keras.layers.DepthwiseConv1D: _own(QuantizedDepthwiseConv1D),
    keras.layers.GlobalAveragePooling1D: _own(QuantizedGlobalAveragePooling1D),
    keras.layers.Normalization: scaling,
    keras.layers.Rescaling: scaling,
    keras.layers.SimpleRNN: _vanilla,
    VanillaRNN: _vanilla,
}


def quantized(layer, scheme):
    """Returns the quantized form of a layer, with its name, its configuration and its weights."""
    kind = type(layer)
    if kind in _MOVING:
        return _MOVING[kind].from_config(layer.get_config())
    if kind not in _FORMS:
        raise ValueError(f"layer {layer.name!r}: {kind.__name__}")
    made = _FORMS[kind](layer, scheme)
    return made


def copy_weights(old, new):
    """Gives a quantized form the weights of its layer; its ranges are weights of its own."""
    if isinstance(old, keras.layers.Bidirectional):
        copy_weights(old.forward_layer, new.forward_layer)
        copy_weights(old.backward_layer, new.backward_layer)
        return
    if hasattr(new, "take"):
        new.take(old)
        return
    by_name = {weight.name: weight for weight in new.weights}
    for weight in old.weights:
        by_name[weight.name].assign(weight)
