"""How a model nests its inputs and outputs, and the flat names that they have in a file.

A value whose place in the structure has a key in it is named after that place: "left", or "pair_0" for the first of
the list under "pair". Without a key, an input has the name of its `keras.Input`, an output the name of its layer.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.tflite.running.runner import STATE_IN, STATE_OUT


class _Leaf:
    """Keeps `keras.tree` from looking into an array that is given as a list."""

    def __init__(self, value):
        self.value = value


def input_names(model):
    """Returns the names of a model's inputs, in the order of `model.inputs`."""
    places = keras.tree.flatten_with_path(_input_structure(model))
    return [_name(path, tensor.name) for path, tensor in places]


def output_names(model, outputs, taken):
    """Returns the names of a model's outputs, flat and unique.

    Args:
        model: the Keras model.
        outputs: what a call of it returned.
        taken: names that no output may have.
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
    """Calls a model for inference on one value per input, in the order of `model.inputs`.

    Raises:
        ValueError: the model can't be called on these.
    """
    values = list(values)
    try:
        return model(keras.tree.pack_sequence_as(_input_structure(model), values), training=False)
    except tf.errors.OpError as error:
        shapes = [tuple(value.shape) for value in values]
        raise ValueError(f"model: it can't be called on inputs of the shapes {shapes}: {error}") from error


def flat(model, x):
    """Returns what a user passed for the inputs, in the order of `model.inputs`, or None if it does not fit."""
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


def check_names(model, streaming):
    """Refuses names of inputs and outputs that a file keeps for the states of a streaming model.

    Raises:
        ValueError: an input or output has such a name.
    """
    inputs = input_names(model)
    outputs = output_names(model, _output_structure(model), inputs) if streaming else []
    for kind, names, ending in (("input", inputs, STATE_IN), ("output", outputs, STATE_OUT)):
        for name in names:
            if name.endswith(ending):
                raise ValueError(
                    f"model: the {kind} {name!r} must not end in {ending!r}, which marks a state of a streaming file. "
                    f"Give the {'keras.Input' if kind == 'input' else 'layer or key'} another name."
                )


def _input_structure(model):
    # A Sequential model is called with its one input.
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _output_structure(model):
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
