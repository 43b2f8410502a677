"""Rules that trace units through each kind of layer.

A rule is a function rule(channels, layer, inputs, outputs) → units of each output. `inputs` are the (tensor, units)
pairs of the call, and `outputs` are the tensors that the call returned.
"""

import keras
import numpy as np
from keras import layers as kl

from keras_vrnn.compression.channels import FIXED
from keras_vrnn.layers.call_checks import named


def fixed(tensor):
    """Returns the units of a tensor that keeps all of its entries."""
    return np.full(tensor.shape[-1] or 0, FIXED) if tensor.shape else np.zeros(0, int)


def bias_of(layer, row=None):
    """Returns the bias of a layer or cell and the row of it that a product gets; None without a bias."""
    return None if layer.bias is None else (layer.bias, row)


def unknown(channels, layer, inputs, outputs):
    for _, numbers in inputs:
        channels.obstruct(
            numbers, f"they are inputs of {named(layer)}, which units cannot be followed through"
        )
    return [fixed(tensor) for tensor in outputs]


def passing(channels, layer, inputs, outputs):
    """Each output entry is the input entry in the same place."""
    (tensor, numbers), *_ = inputs
    if any(output.shape[-1] != tensor.shape[-1] for output in outputs):
        return unknown(channels, layer, inputs, outputs)
    return [numbers for _ in outputs]


def altering(channels, layer, inputs, outputs):
    """Each output entry is computed from the input entry in the same place."""
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
    """Combines the inputs entry by entry, as a sum does, so that all of them must keep the same entries."""
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
    """Takes part of a tensor: x[key], such as the last step h[:, -1]."""
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

# A model written with `keras.ops` or with Python's operators contains operations in place of layers.
_OPERATIONS = {
    "Add": merging,
    "Subtract": merging,
    "Multiply": merging,
    "Maximum": merging,
    "Minimum": merging,
}
_OPERATIONS |= dict.fromkeys(("Relu", "Tanh", "Sigmoid", "Negative", "Abs", "Square"), altering)


def rule_of(layer):
    """Returns the rule for the exact class of a layer or operation, since a subclass may do anything."""
    if isinstance(layer, keras.layers.Layer):
        return RULES.get(type(layer), unknown)
    return _OPERATIONS.get(type(layer).__name__, unknown)
