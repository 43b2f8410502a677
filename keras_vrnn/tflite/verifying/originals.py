"""The Keras model as the original of a file: its outputs, and which of the file's inputs and outputs are which.

Needs the TensorFlow backend.
"""

import re

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of, recurrent_layers
from keras_vrnn.tflite.exporting.capture.preparation import prepared

# Names that Keras gives to inputs without one; loading a saved model changes them.
_AUTOMATIC = re.compile(r"(keras_tensor|input_layer|input)(_\d+)?")
_HALF = ("float16", "bfloat16")


def outputs(model, arrays):
    """Returns the model's outputs as float32 arrays, every sample computed from a zero state.

    The user's own model is run, not what the exporter made of it. Only a model in half precision is run as the
    exporter rebuilt it, in float32: otherwise its own rounding would count as an error of the file.

    Args:
        model: the Keras model.
        arrays: one array per input, the batch axis first.
    """
    if any(layer.compute_dtype in _HALF for layer in layers_of(model)):
        model = prepared(model)
    states = [
        state
        for layer in recurrent_layers(model)
        if layer.stateful
        for state in keras.tree.flatten(layer.states)
    ]
    size = model.inputs[0].shape[0]
    if size is None:
        made = model.predict(_structured(model, arrays), verbose=0)
        return [np.asarray(output, np.float32) for output in keras.tree.flatten(made)]
    before = [np.asarray(state) for state in states]
    samples, parts = len(arrays[0]), []
    for start in range(0, samples, size):
        # The last batch is filled up with its own last sample.
        rows = np.minimum(np.arange(start, start + size), samples - 1)
        for state in states:
            state.assign(np.zeros(state.shape))
        made = model.predict_on_batch(_structured(model, [array[rows] for array in arrays]))
        parts.append([np.asarray(output, np.float32) for output in keras.tree.flatten(made)])
    for state, value in zip(states, before, strict=True):
        state.assign(value)
    return [np.concatenate(batches)[:samples] for batches in zip(*parts, strict=True)]


def _structured(model, arrays):
    """Returns the arrays as the model takes them: one, a list, or a dictionary."""
    return keras.tree.pack_sequence_as(_input_structure(model), arrays)


def _input_structure(model):
    # A Sequential has no `input` before its first call.
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def input_names(model, runner):
    """Returns the file's name of each input of the model, in the model's order.

    Inputs with a key in a dictionary, or with a name from the user, are matched by it; inputs that Keras named are
    matched by their order.

    Raises:
        ValueError: the file has other inputs.
    """
    places = keras.tree.flatten_with_path(_input_structure(model))
    own = [_name(path, tensor) for path, tensor in places]
    automatic = iter([name for name in runner.inputs if _AUTOMATIC.fullmatch(name)])
    names = [next(automatic, None) if _AUTOMATIC.fullmatch(name) else name for name in own]
    if set(names) != set(runner.inputs):
        raise ValueError(
            f"`path` must be a file of the model. It has the inputs {runner.inputs}, the model has {own}."
        )
    return names


def _name(path, tensor):
    """Returns the name of an input in a file: its place if that has a key, such as "pair_0", else its own name."""
    return "_".join(map(str, path)) if any(isinstance(part, str) for part in path) else tensor.name


def output_names(outputs, runner):
    """Returns the file's names of the model's outputs, which are in the same order.

    Raises:
        ValueError: the file has another number of outputs.
    """
    if len(outputs) != len(runner.outputs):
        raise ValueError(
            f"`path` must be a file of the model. It has the outputs {runner.outputs}, the model has {len(outputs)}."
        )
    return runner.outputs
