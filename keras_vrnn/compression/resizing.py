"""Builds the smaller model from the units that stay."""

from typing import Any

import keras
import numpy as np

from keras_vrnn.compression.copying import finish
from keras_vrnn.compression.following import GRAPHS, inputs_of
from keras_vrnn.compression.masks import PruningMask
from keras_vrnn.layers import StackedVanillaRNN


def resized_model(work, channels, kept):
    """Returns a model of the same class with the units in `kept` and their weights."""
    units = {id(g.layer): int(channels.selection(g.numbers, kept).sum()) for g in channels.groups}

    made: dict[int, Any] = {}

    def resized(layer):
        # A layer that is called twice is made once.
        if id(layer) not in made:
            if type(layer) in GRAPHS:
                made[id(layer)] = graph(layer)
            elif isinstance(layer, keras.layers.Layer):
                made[id(layer)] = type(layer).from_config(_resized_config(layer, units))
            else:  # an operation, which has no size
                made[id(layer)] = layer
        return made[id(layer)]

    def graph(model):
        inputs = [_resized_input(tensor, channels, kept) for tensor in keras.tree.flatten(inputs_of(model))]
        if isinstance(model, keras.Sequential):
            return type(model)([*inputs, *map(resized, model.layers)], name=model.name)
        inputs = keras.tree.pack_sequence_as(model.input, inputs)
        twin = keras.models.clone_model(model, input_tensors=inputs, clone_function=resized)
        return type(model)(inputs=twin.input, outputs=twin.output, name=model.name)

    smaller = resized(work)
    axes = {}
    for axis in channels.axes.values():
        axes.setdefault(id(axis.variable), []).append((axis.axis, channels.selection(axis.numbers, kept)))
    for old, new in zip(work.weights, smaller.weights, strict=True):
        own = axes.get(id(old), [])
        new.assign(_cut(keras.ops.convert_to_numpy(old), own))
        if isinstance(new.constraint, PruningMask):
            new.constraint.resize(_cut(keras.ops.convert_to_numpy(new.constraint.pruning_mask), own))
    finish(smaller)
    return smaller


def _resized_input(tensor, channels, kept):
    """Returns a new input in place of an old one; the input of a nested model may have lost units."""
    numbers = channels.inputs.get(id(tensor))
    size = tensor.shape[-1:] if numbers is None else (int(channels.selection(numbers, kept).sum()),)
    return keras.Input(batch_shape=(*tensor.shape[:-1], *size), dtype=tensor.dtype, name=tensor.name)


def _resized_config(layer, units):
    """Returns the configuration of a layer with new numbers of units, by the id of each recurrent layer."""
    config = _without_shapes(layer.get_config())
    for part, own in _recurrences(layer, config):
        if id(part) in units:
            own["units"] = units[id(part)]
    if isinstance(layer, StackedVanillaRNN):
        first = [part.forward_layer if layer.bidirectional else part for part in layer.layers]
        config["units"] = [units.get(id(part), part.units) for part in first]
    return config


def _recurrences(layer, config):
    """Yields the recurrent layers inside a layer, each with its part of the layer's configuration."""
    if isinstance(layer, keras.layers.Bidirectional):
        yield layer.forward_layer, config["layer"]["config"]
        yield layer.backward_layer, config["backward_layer"]["config"]
    elif isinstance(layer, keras.layers.RNN):
        yield layer, config["cell"]["config"] if "cell" in config else config
    elif isinstance(layer, keras.layers.TimeDistributed):
        yield from _recurrences(layer.layer, config["layer"]["config"])


def _without_shapes(config):
    """Removes the input shapes that the layers were built for."""
    if isinstance(config, dict):
        return {name: _without_shapes(value) for name, value in config.items() if name != "build_config"}
    return [_without_shapes(value) for value in config] if isinstance(config, list) else config


def _cut(value, selections):
    for axis, selected in selections:
        value = np.compress(selected, value, axis=axis)
    return value
