"""Folds what follows a linear layer into it, as the file does: batch normalization and an activation.

    inv = γ / √(variance + ε)        kernel·inv        b·inv + (β − mean·inv)

A layer that has other readers stays as it is, and so does one that is used several times.
"""

from collections import defaultdict

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized.linear import ACTIVATIONS, is_function

_LINEAR = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.DepthwiseConv1D)


def folded(graph, shared=()):
    """Returns the linear layers of a functional model that take up the layers behind them.

    Args:
        graph: the model.
        shared: ids of layers that other models use too; they stay as they are.

    Returns:
        The id of each such layer -> a float layer that computes all of them, and the ids of those taken up.
    """
    layers = {layer.name: layer for layer in graph.layers if id(layer) not in shared}
    uses, readers = _uses(graph)

    def reader(name):
        (only, *others) = readers[name] or [None]
        return layers.get(only) if not others and uses[only] == 1 else None

    made, absorbed = {}, set()
    for layer in layers.values():
        if type(layer) not in _LINEAR or uses[layer.name] != 1 or not is_function(layer.activation, "linear"):
            continue
        normalization, activation, last = None, "linear", layer
        following = reader(layer.name)
        last_axis = len(input_shape(layer)) - 1  # linear layers keep the number of axes
        if _is_normalization(following, last_axis):
            normalization = last = following
            absorbed.add(id(following))
            following = reader(following.name)
        if (name := _activation(following, last_axis)) is not None:
            activation = name
            absorbed.add(id(following))
            last = following
        if last is not layer:
            made[id(layer)] = _merged(layer, normalization, activation)
    return made, absorbed


def _uses(graph):
    """Returns name of a layer -> how often the graph calls it, and -> the names of its readers, once per reading.

    The reader of a result of the model is None.
    """
    config = graph.get_config()
    uses, readers = {None: 0}, defaultdict(list)
    for layer in config["layers"]:
        uses[layer["name"]] = len(layer["inbound_nodes"])
        for source in _sources(layer["inbound_nodes"]):
            readers[source].append(layer["name"])
    for source in _sources(config["output_layers"]):
        readers[source].append(None)
    return uses, readers


def _sources(config):
    """Yields the names of the layers whose results a part of a configuration refers to."""
    if isinstance(config, dict):
        config = list(config.values())
    if not isinstance(config, (list, tuple)):
        return
    # Keras refers to a tensor by [layer, call, position].
    if len(config) == 3 and [type(part) for part in config] == [str, int, int]:
        yield config[0]
        return
    for part in config:
        yield from _sources(part)


def _is_normalization(layer, last_axis):
    return type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, last_axis)


def _activation(layer, last_axis):
    """Returns the activation that a layer computes, if it is one of `ACTIVATIONS`, else None."""
    kind = type(layer)
    if kind is keras.layers.Activation:
        return next((name for name in ACTIVATIONS if is_function(layer.activation, name)), None)
    if kind is keras.layers.ReLU and not layer.negative_slope and not layer.threshold:
        return {None: "relu", 6.0: "relu6"}.get(layer.max_value)
    if kind is keras.layers.Softmax and layer.axis in (-1, last_axis):
        return "softmax"
    return None


def _merged(layer, normalization, activation):
    """Returns a float layer that computes a linear layer, a batch normalization (or None) and an activation."""
    use_bias = layer.use_bias or normalization is not None
    made = type(layer).from_config({**layer.get_config(), "use_bias": use_bias, "activation": activation})
    made.build(input_shape(layer))
    kernel = np.asarray(ops.convert_to_numpy(layer.kernel))
    bias = ops.convert_to_numpy(layer.bias) if layer.use_bias else None
    if normalization is not None:
        factor, offset = affine(normalization)
        per_output = (-1, kernel.shape[-1]) if isinstance(layer, keras.layers.DepthwiseConv1D) else (-1,)
        kernel = kernel * factor.reshape(per_output)
        bias = offset if bias is None else bias * factor + offset
    made.kernel.assign(kernel)
    if bias is not None:
        made.bias.assign(bias)
    return made


def affine(normalization):
    """Returns (a, b) of a batch normalization a·x + b, float32."""
    layer = normalization
    factor = ops.rsqrt(layer.moving_variance + layer.epsilon)
    factor = factor * layer.gamma if layer.scale else factor
    offset = -layer.moving_mean * factor
    offset = layer.beta + offset if layer.center else offset
    return ops.convert_to_numpy(factor), ops.convert_to_numpy(offset)


def input_shape(layer):
    """Returns the shape that a layer was built with; it may have several inputs by now."""
    return layer.get_build_config()["input_shape"]
