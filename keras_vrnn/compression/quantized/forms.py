"""The quantized form of each layer.

has integer arithmetic of its own       a class of this package
moves or picks integers                 the Keras class, whose result carries the format of its input
anything else                           refused by name
"""

import keras

from keras_vrnn.compression.quantized import refusals, signals
from keras_vrnn.compression.quantized.bidirectional import MERGE_MODES, QuantizedBidirectional
from keras_vrnn.compression.quantized.convolution import QuantizedConv1D, QuantizedDepthwiseConv1D
from keras_vrnn.compression.quantized.embedding import QuantizedEmbedding
from keras_vrnn.compression.quantized.gated_rnn import (
    QuantizedFastRNN,
    QuantizedGRU,
    QuantizedLSTM,
    check_activations,
)
from keras_vrnn.compression.quantized.linear import ACTIVATIONS, QuantizedDense, is_function
from keras_vrnn.compression.quantized.merging import QuantizedAdd, QuantizedConcatenate
from keras_vrnn.compression.quantized.pooling import (
    QuantizedAveragePooling1D,
    QuantizedGlobalAveragePooling1D,
)
from keras_vrnn.compression.quantized.scaling import scaling
from keras_vrnn.compression.quantized.stack import QuantizedStackedVanillaRNN
from keras_vrnn.compression.quantized.vanilla_rnn import QuantizedVanillaRNN, check_activation
from keras_vrnn.layers import Bidirectional, FastRNN, StackedVanillaRNN, VanillaRNN


class Moving(keras.layers.Layer):
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


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedMasking(Moving, keras.layers.Masking):
    """A `Masking` of steps of zeros, which changes no values."""

    def plain(self, inputs, note, mark, *args, **kwargs):
        # A new tensor, to which Keras attaches the mask.
        return mark(inputs, note.formats["out"])


def _of(kind):
    return lambda layer, scheme: kind.from_config({**layer.get_config(), "scheme": scheme})


def _vanilla(layer, scheme):
    check_activation(layer, scheme)
    if not isinstance(layer, VanillaRNN):
        _check_last(layer)
    return _of(QuantizedVanillaRNN)(layer, scheme)


def _gated(kind):
    def made(layer, scheme):
        check_activations(layer, scheme)
        _check_last(layer)
        return _of(kind)(layer, scheme)

    return made


def _check_last(layer):
    if layer.zero_output_for_mask and not layer.return_sequences:
        why = "with zero_output_for_mask and without return_sequences, its output is zero where the last step is masked"
        raise refusals.refused(layer, why, "set zero_output_for_mask=False")


def _linear(kind):
    def made(layer, scheme):
        if not any(is_function(layer.activation, name) for name in ACTIVATIONS):
            raise refusals.refused_activation(layer, ACTIVATIONS)
        return _of(kind)(layer, scheme)

    return made


_dense = _linear(QuantizedDense)


def _masking(layer, scheme):
    if layer.mask_value != 0:
        why = f"its mask_value is {layer.mask_value!r}, and in integers only zero is the same in every number format"
        raise refusals.refused(layer, why, "set the masked steps of the data to 0 and use Masking(0.0)")
    return QuantizedMasking.from_config(layer.get_config())


def _time_distributed(layer, scheme):
    """A Dense reads sequences itself."""
    if type(layer.layer) is not keras.layers.Dense:
        way = "apply the layer to the sequence directly, or use TimeDistributed(Dense(...))"
        raise refusals.refused(layer, f"it repeats a {type(layer.layer).__name__} over time", way)
    made = layer.layer.get_config()
    _dense(layer.layer, scheme)
    return QuantizedDense.from_config({**made, "name": layer.name, "scheme": scheme})


def _bidirectional(layer, scheme):
    if layer.merge_mode not in MERGE_MODES:
        way = "use merge_mode='concat' or 'sum'"
        raise refusals.refused(layer, f"it merges both directions by {layer.merge_mode!r}", way)
    forward, backward = (quantized(part, scheme) for part in (layer.forward_layer, layer.backward_layer))
    config = {n: v for n, v in layer.get_config().items() if n not in ("layer", "backward_layer")}
    return QuantizedBidirectional(forward, backward_layer=backward, scheme=scheme, **config)


def _stack(layer, scheme):
    for part in layer.layers:
        quantized(part, scheme)  # its refusal names the option
    return _of(QuantizedStackedVanillaRNN)(layer, scheme)


_FORMS = {
    Bidirectional: _bidirectional,
    StackedVanillaRNN: _stack,
    VanillaRNN: _vanilla,
    keras.layers.Add: _of(QuantizedAdd),
    keras.layers.AveragePooling1D: _of(QuantizedAveragePooling1D),
    keras.layers.BatchNormalization: scaling,
    keras.layers.Bidirectional: _bidirectional,
    keras.layers.Concatenate: _of(QuantizedConcatenate),
    keras.layers.Conv1D: _linear(QuantizedConv1D),
    keras.layers.Dense: _dense,
    keras.layers.DepthwiseConv1D: _linear(QuantizedDepthwiseConv1D),
    keras.layers.Embedding: _of(QuantizedEmbedding),
    keras.layers.GlobalAveragePooling1D: _of(QuantizedGlobalAveragePooling1D),
    FastRNN: _gated(QuantizedFastRNN),
    keras.layers.GRU: _gated(QuantizedGRU),
    keras.layers.LSTM: _gated(QuantizedLSTM),
    keras.layers.Masking: _masking,
    keras.layers.Normalization: scaling,
    keras.layers.Rescaling: scaling,
    keras.layers.SimpleRNN: _vanilla,
    keras.layers.TimeDistributed: _time_distributed,
}


def quantized(layer, scheme):
    """Returns the quantized form of a layer, with its name and its configuration.

    Raises:
        ValueError: the layer has none; the message names it, the reason and the way out.
    """
    kind = type(layer)
    if kind in _MOVING:
        return _MOVING[kind].from_config(layer.get_config())
    if kind not in _FORMS:
        raise refusals.unknown(layer, (*_FORMS, *_MOVING))
    return _FORMS[kind](layer, scheme)


def copy_weights(old, new):
    """Gives a quantized form the weights of its layer; its ranges are weights of its own."""
    if isinstance(old, keras.layers.Bidirectional):
        copy_weights(old.forward_layer, new.forward_layer)
        copy_weights(old.backward_layer, new.backward_layer)
        return
    if isinstance(old, StackedVanillaRNN):
        for one, other in zip(old.layers, new.layers, strict=True):
            copy_weights(one, other)
        return
    if hasattr(new, "take"):
        new.take(old)
        return
    # A TimeDistributed has the weights of the layer in it.
    by_name = {weight.name: weight for weight in new.weights}
    for weight in old.weights:
        by_name[weight.name].assign(weight)
