"""What each layer does with the units that its inputs come from.

A rule is rule(channels, layer, inputs, outputs) → units of each output. `inputs` are (tensor, units) pairs of the call,
`outputs` the tensors that it made.
"""

import keras
import numpy as np
from keras import layers as kl

from keras_vrnn.compression.channels import FIXED
from keras_vrnn.layers.call_checks import named


def fixed(tensor):
    """Returns the units of a tensor that nothing is removed from."""
    return np.full(tensor.shape[-1] or 0, FIXED) if tensor.shape else np.zeros(0, int)


def bias_of(layer, row=None):
    """The bias of a layer or cell, and the row of it that a product gets; None if it has none."""
    return None if layer.bias is None else (layer.bias, row)


def unknown(channels, layer, inputs, outputs):
    for _, numbers in inputs:
        channels.obstruct(
            numbers, f"they are inputs of {named(layer)}, which units cannot be followed through"
        )
    return [fixed(tensor) for tensor in outputs]


def passing(channels, layer, inputs, outputs):
    """An output entry comes from the input entry in the same place."""
    (tensor, numbers), *_ = inputs
    if any(output.shape[-1] != tensor.shape[-1] for output in outputs):
        return unknown(channels, layer, inputs, outputs)
    return [numbers for _ in outputs]


def altering(channels, layer, inputs, outputs):
    """As `passing`, with another value."""
    channels.altered.update(inputs[0][1])
    return passing(channels, layer, inputs, outputs)


def activation(channels, layer, inputs, outputs):
    across = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.sparsemax)
    rule = unknown if layer.activation in across else altering
    return rule(channels, layer, inputs, outputs)


def prelu(channels, layer, inputs, outputs):
    if layer.alpha.shape[-1] == outputs[0].shape[-1]:
        channels.mark(layer.alpha, -1, inputs[0][1])
    return altering(channels, layer, inputs, outputs)


def batch_normalization(channels, layer, inputs, outputs):
    return _normalized(channels, layer, [layer.axis], inputs, outputs)


def layer_normalization(channels, layer, inputs, outputs):
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    channels.mixes = True
    return _normalized(channels, layer, axes, inputs, outputs)


def _normalized(channels, layer, axes, inputs, outputs):
    (tensor, numbers), *_ = inputs
    if [axis % len(tensor.shape) for axis in axes] != [len(tensor.shape) - 1]:
        return unknown(channels, layer, inputs, outputs)
    channels.altered.update(numbers)
    for variable in layer.weights:
        channels.mark(variable, -1, numbers)
    return [numbers]


def dense(channels, layer, inputs, outputs):
    channels.mark(layer.kernel, 0, inputs[0][1], reads=True, bias=bias_of(layer))
    return [fixed(outputs[0])]


def convolution(channels, layer, inputs, outputs):
    if layer.groups != 1 or layer.data_format != "channels_last":
        return unknown(channels, layer, inputs, outputs)
    channels.mark(layer.kernel, -2, inputs[0][1], reads=True, bias=bias_of(layer))
    return [fixed(outputs[0])]


def merging(channels, layer, inputs, outputs):
    """Entry by entry, as in a sum: all inputs keep the same ones."""
    first, *others = [numbers for _, numbers in inputs]
    channels.altered.update(first)
    for numbers in others:
        channels.join(first, numbers, f"{named(layer)} combines them with values that stay")
    return [first]


def concatenation(channels, layer, inputs, outputs):
    rank = len(outputs[0].shape)
    if layer.axis % rank == rank - 1:
        return [np.concatenate([numbers for _, numbers in inputs])]
    return merging(channels, layer, inputs, outputs)


def flattening(channels, layer, inputs, outputs):
    (tensor, numbers), *_ = inputs
    if None in tensor.shape[1:] or layer.data_format != "channels_last":
        return unknown(channels, layer, inputs, outputs)
    return [np.tile(numbers, int(np.prod(tensor.shape[1:-1])))]


def permuting(channels, layer, inputs, outputs):
    rule = passing if layer.dims[-1] == len(layer.dims) else unknown
    return rule(channels, layer, inputs, outputs)


def indexing(channels, layer, inputs, outputs, key):
    """x[key], such as the last step h[:, -1]."""
    (tensor, numbers), *_ = inputs
    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    plain = all(isinstance(part, (int, slice)) for part in keys)
    whole = len(keys) < len(tensor.shape) or keys[-1] == slice(None)
    if not (plain and whole) or len(outputs[0].shape) < 2:
        return unknown(channels, layer, inputs, outputs)
    return [numbers]


RULES = {
    **dict.fromkeys(
        (
            kl.ActivityRegularization,
            kl.AveragePooling1D,
            kl.Cropping1D,
            kl.Dropout,
            kl.GaussianDropout,
            kl.GaussianNoise,
            kl.GlobalAveragePooling1D,
            kl.Identity,
            kl.RepeatVector,
            kl.SpatialDropout1D,
            kl.UpSampling1D,
        ),
        passing,
    ),
    **dict.fromkeys(
        (kl.ELU, kl.GlobalMaxPooling1D, kl.LeakyReLU, kl.MaxPooling1D, kl.ReLU, kl.ZeroPadding1D), altering
    ),
    **dict.fromkeys((kl.Add, kl.Average, kl.Maximum, kl.Minimum, kl.Multiply, kl.Subtract), merging),
    kl.Activation: activation,
    kl.BatchNormalization: batch_normalization,
    kl.Concatenate: concatenation,
    kl.Conv1D: convolution,
    kl.Dense: dense,
    kl.Flatten: flattening,
    kl.LayerNormalization: layer_normalization,
    kl.PReLU: prelu,
    kl.Permute: permuting,
}

# Operations that a model has where it was written with `keras.ops` or Python's operators.
_OPERATIONS = {
    "Add": merging,
    "Subtract": merging,
    "Multiply": merging,
    "Maximum": merging,
    "Minimum": merging,
}
_OPERATIONS |= dict.fromkeys(("Relu", "Tanh", "Sigmoid", "Negative", "Abs", "Square"), altering)


def rule_of(layer):
    """Returns the rule for exactly the class of a layer or operation, since a subclass may do anything."""
    if isinstance(layer, keras.layers.Layer):
        return RULES.get(type(layer), unknown)
    return _OPERATIONS.get(type(layer).__name__, unknown)
