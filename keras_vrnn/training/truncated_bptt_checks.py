"""Checks of the model and the data that truncated BPTT needs, before the first step."""

import keras
import tensorflow as tf

from keras_vrnn.layers.interception import layers_of, recurrent_layers
from keras_vrnn.layers.stack import RecurrentStack


def check_model(model, steps):
    """Raises unless a window and the states before it are all that the model needs.

    Of a model that is not built yet, it checks the layers that exist.

    Raises:
        ValueError: Naming the layer, the reason and the remedy.
    """
    for tensor in getattr(model, "inputs", None) or ():
        length = tensor.shape[1] if len(tensor.shape) > 1 else 0
        if length is not None and length > steps:
            raise _error(
                steps,
                f"the model takes windows, but its input {tensor.name!r} has a fixed length of {length} time steps",
                "Leave the length open: keras.Input((None, features)).",
            )
    layers = layers_of(model)
    inside = {id(layer) for stack in layers if isinstance(stack, RecurrentStack) for layer in stack.layers}
    for layer in layers:
        if isinstance(layer, keras.layers.Bidirectional) or getattr(layer, "go_backwards", False):
            raise _error(
                steps,
                f"layer {layer.name!r} reads the sequence from its end, but windows come from its start",
                "Leave truncate_steps at None for this model, or use a layer that only goes forward.",
            )
        if isinstance(layer, keras.layers.TimeDistributed) and isinstance(layer.layer, keras.layers.RNN):
            raise _error(
                steps,
                f"the recurrence in layer {layer.name!r} starts anew at every time step, so it has no state to carry",
                "Leave truncate_steps at None for this model.",
            )
        if not isinstance(layer, keras.layers.RNN):
            continue
        if not layer.return_sequences:
            raise _error(
                steps,
                f"layer {layer.name!r} has return_sequences=False: with one output at the end of the sequence, only "
                "the last window has something to learn from",
                "Set return_sequences=True and give a target for every time step, for example the final one repeated; "
                "or leave truncate_steps at None.",
            )
        if layer.return_state and id(layer) not in inside:
            raise _error(
                steps,
                f"layer {layer.name!r} returns its final state (return_state=True), which exists only after the last "
                "window",
                "Set return_state=False, or leave truncate_steps at None.",
            )
    if model.built and not recurrent_layers(model):
        raise _error(
            steps, "the model has no recurrent layer whose state could be carried", "Leave it at None."
        )


def check_class_weight(class_weight):
    """Raises if there is one: Keras turns class weights into one weight per sequence."""
    if class_weight is not None:
        raise ValueError(
            "`class_weight` cannot be used with `truncate_steps`: targets have a class per time step, but Keras makes "
            "one weight per sequence. Give a sample_weight of shape (batch, time). "
            f"Received: class_weight={class_weight}"
        )


def sequence_length(x, y, sample_weight):
    """Returns T, the second axis of all inputs, targets and weights.

    Returns:
        An integer, or a scalar tensor if the length is unknown while the step is traced.
    """
    named = [("x", leaf) for leaf in keras.tree.flatten(x)]
    named += [("y", leaf) for leaf in keras.tree.flatten(y)]
    named += [("sample_weight", leaf) for leaf in keras.tree.flatten(sample_weight)]
    named = [(name, leaf) for name, leaf in named if leaf is not None]
    for name, leaf in named:
        if leaf.shape.rank < 2:
            raise ValueError(_no_time_axis(name, leaf))
    lengths = {leaf.shape[1] for _, leaf in named} - {None}
    if len(lengths) > 1:
        received = ", ".join(f"{name} {tuple(leaf.shape)}" for name, leaf in named)
        raise ValueError(
            "`truncate_steps` needs inputs, targets and weights with the same number of time steps, (batch, time, …). "
            f"Received: {received}. Repeat an input that is the same at all steps along time."
        )
    if lengths:
        return lengths.pop()
    length = tf.shape(named[0][1])[1]
    same = [
        tf.debugging.assert_equal(tf.shape(leaf)[1], length, f"Time steps of {n} and of x")
        for n, leaf in named
    ]
    with tf.control_dependencies([check for check in same if check is not None]):
        return tf.identity(length)


def _no_time_axis(name, leaf):
    return (
        "`truncate_steps` needs inputs and targets with a time axis, (batch, time, …). "
        f"Received: {name} of shape {tuple(leaf.shape)}. With one target per sequence, only the last window has "
        "something to learn from: give a target for every time step, or leave truncate_steps at None."
    )


def check_outputs(outputs, x):
    """Raises unless all outputs of a window have as many time steps as its inputs."""
    length = keras.tree.flatten(x)[0].shape[1]
    for output in keras.tree.flatten(outputs):
        has_time = output.shape.rank > 1
        if not has_time or (None not in (length, output.shape[1]) and output.shape[1] != length):
            raise ValueError(
                "`truncate_steps` needs a model with an output for every time step, (batch, time, …). "
                f"Received: an output of shape {tuple(output.shape)} for a window of {length} steps. Leave "
                "truncate_steps at None, or remove the layer that joins time steps (pooling, Flatten, strides)."
            )


def check_called_once(layer, was_called):
    """Raises if a layer is called a second time within one window."""
    if was_called:
        raise ValueError(
            f"`truncate_steps` carries one state per layer, but the model calls layer {layer.name!r} more than once. "
            "Use one layer per call, or leave truncate_steps at None."
        )


def check_all_carried(layers, final):
    """Raises unless the final state of every layer is there."""
    missing = [layer.name for index, layer in enumerate(layers) if index not in final]
    if missing:
        raise ValueError(
            f"`truncate_steps` found no final state of layer {missing[0]!r}: the model does not call it, or its "
            "recurrence is outside `inner_loop`, the method of keras.layers.RNN. Remove the layer, or leave "
            "truncate_steps at None."
        )


def _error(steps, reason, remedy):
    return ValueError(f"`truncate_steps={steps}` cannot be used here: {reason}. {remedy}")
