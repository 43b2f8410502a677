"""The structure of a model's inputs and outputs, and their names in a file, which has flat lists of them.

In a dictionary, a value has the name of its place: "left", or "pair_0" for the first entry of the list "pair".
Elsewhere an input has the name of its `keras.Input`, and an output the name of its layer.

Needs the TensorFlow backend.
"""

import keras
import numpy as np
import tensorflow as tf


class _Leaf:
    """Wraps an array that is given as a list, so that `keras.tree` does not descend into it."""

    def __init__(self, value):
        self.value = value


def input_names(model):
    """Returns the names of a model's inputs, in the order of `model.inputs`."""
    places = keras.tree.flatten_with_path(_input_structure(model))
    return [_name(path, tensor.name) for path, tensor in places]


def output_names(model, outputs, taken):
    """Returns the names of a model's outputs, a flat list without duplicates.

    Args:
        model: The Keras model.
        outputs: The result of calling it.
        taken: Names that no output may have.
    """
    places = keras.tree.flatten_with_path(outputs)
    layers = getattr(model, "output_names", None) or [layer.name for layer in model.layers[-1:]]
    if len(layers) != len(places):
        layers = ["output"] * len(places)
    names, taken = [], set(taken)
    for (path, _), layer in zip(places, layers, strict=True):
        name = _free(_name(path, layer), taken)
        taken.add(name)
        names.append(name)
    return names


def call(model, values):
    """Calls a model for inference on a list with one value per input, in the order of `model.inputs`.

    Raises:
        ValueError: TensorFlow can't run the model on these values.
    """
    values = list(values)
    try:
        return model(keras.tree.pack_sequence_as(_input_structure(model), values), training=False)
    except tf.errors.OpError as error:
        shapes = [tuple(value.shape) for value in values]
        raise ValueError(f"`model` must run on inputs of the shapes {shapes}. Received: {error}") from error


def flat(model, x):
    """Returns the values passed for the inputs in the order of `model.inputs`, or None if they do not fit."""
    names = input_names(model)
    if isinstance(x, dict) and set(x) == set(names):
        return [x[name] for name in names]
    structure = _input_structure(model)
    nested = any(len(path) > 1 for path, _ in keras.tree.flatten_with_path(structure))
    if isinstance(x, (list, tuple)) and not nested and len(x) == len(names) > 1:
        return list(x)
    if isinstance(x, dict) and not isinstance(structure, dict):
        return None
    if len(names) == 1 and not isinstance(x, dict):
        listed = isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) == len(model.inputs[0].shape)
        return list(x) if listed else [x]
    try:
        leaves = keras.tree.map_structure_up_to(structure, _Leaf, x)
    except (TypeError, ValueError):
        return None
    return [leaf.value for leaf in keras.tree.flatten(leaves)]


def _input_structure(model):
    # A Sequential model has one input.
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def output_structure(model):
    """Returns the symbolic outputs of a model in their structure."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def _name(path, own):
    return "_".join(map(str, path)) if any(isinstance(part, str) for part in path) else own


def _free(name, taken):
    """Returns the name itself, or the first of name_1, name_2 … that is not taken."""
    count, free = 0, name
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free
