"""Checks of what layers are given: Keras objects, and the shapes of sequences, masks and states."""

from typing import Any

import keras

from keras_vrnn import _checks as checks


def resolved(kind: str, name: str, value: Any) -> Any:
    """`keras.<kind>.get(value)`, with an error that names the argument."""
    try:
        return getattr(keras, kind).get(value)
    except (ValueError, TypeError) as error:
        must = f"be None, a name or an object of `keras.{kind}`, or a callable"
        raise checks.refused(name, must, value) from error


def refused(layer: keras.layers.Layer, name: str, must: str, received: str, fix: str = "") -> ValueError:
    """The error for an argument of a layer's call, in the grammar of `_checks`, with the layer's name in front."""
    return ValueError(f"{named(layer)}: {checks.message(name, must, received, fix)}")


def named(layer: keras.layers.Layer) -> str:
    """How messages refer to a layer."""
    return f'{type(layer).__name__} "{layer.name}"'


def sequences_shape(layer: keras.layers.Layer, shape: Any) -> None:
    """Raises unless `shape` is (batch, time, features) with the features that the layer was built for."""
    shape = tuple(shape)  # TensorFlow passes a TensorShape
    if any(isinstance(size, (tuple, list)) for size in shape):
        must = "be one tensor of shape (batch, time, features)"
        raise refused(layer, "sequences", must, f"shapes {shape}")
    received = f"shape {_text(shape)}"
    if len(shape) != 3:
        fix = ""
        if len(shape) == 2:
            fix = (
                "Add the missing axis: x[:, :, None] if each time step is one number, x[None] if the batch "
                "is missing; integer tokens go through an Embedding first."
            )
        elif len(shape) > 3:
            fix = "Reshape the axes after time into one features axis."
        raise refused(layer, "sequences", "have 3 dimensions (batch, time, features)", received, fix)
    if shape[2] is None:
        must = "have a static last dimension (features), because it sizes `kernel`"
        fix = "Give it in `keras.Input(shape=(time, features))`."
        raise refused(layer, "sequences", must, received, fix)
    if shape[1] == 0:
        raise refused(layer, "sequences", "have at least one time step", received)
    kernel = getattr(layer.cell, "kernel", None)
    if kernel is not None and shape[2] != kernel.shape[0]:
        must = f"have {kernel.shape[0]} features, as when the layer was built"
        raise refused(layer, "sequences", must, f"{received}, {shape[2]} features")


def mask_shape(layer: keras.layers.Layer, shape: Any, sequences_shape: Any) -> None:
    """Raises unless `shape` is (batch, time) or (batch, time, 1) of the sequences."""
    batch, time = sequences_shape[0], sequences_shape[1]
    right_rank = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
    if not right_rank or not _agree(shape[0], batch) or not _agree(shape[1], time):
        must = f"have shape (batch, time) = {_text((batch, time))}, True where a step counts"
        raise refused(layer, "mask", must, f"shape {_text(shape)}")


def one_state(layer: keras.layers.Layer, name: str, value: Any) -> Any:
    """The tensor in `value`, bare or in a list of one."""
    flat = keras.tree.flatten(value)
    must = "be one tensor of shape (batch, units), or a list of one"
    if len(flat) != 1:
        raise refused(layer, name, must, f"a list of {len(flat)}")
    if not hasattr(flat[0], "shape"):
        raise refused(layer, name, must, f"{name}={value!r}")
    return flat[0]


def state_shape(layer: keras.layers.Layer, name: str, shape: Any, batch: int | None, units: int) -> None:
    """Raises unless `shape` is (batch, units)."""
    received = f"shape {_text(shape)}"
    if len(shape) != 2 or shape[1] != units:
        must = f"have shape (batch, units) = {_text((batch, units))}"
        raise refused(layer, name, must, received)
    if not _agree(shape[0], batch):
        must = f"have the batch size of `sequences`, {batch}"
        raise refused(layer, name, must, f"{received}, batch size {shape[0]}")


def states_list(layer: keras.layers.Layer, name: str, value: Any, count: int, order: str) -> list:
    """`value` as a list of `count` states; Keras would split a single tensor along the batch."""
    if not isinstance(value, (list, tuple)) or len(value) != count:
        received = f"a list of {len(value)}" if isinstance(value, (list, tuple)) else "one tensor"
        raise refused(layer, name, f"be a list of {count} tensors, {order}", received)
    return list(value)


def _agree(a, b):
    return a is None or b is None or a == b


def _text(shape):
    return "(" + ", ".join(str(size) for size in shape) + ")"
