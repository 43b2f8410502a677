"""Checks of constructor and call arguments: one message style, raised before any work is done.

Each message names the argument, the value received, what is expected and, where it is not obvious,
the fix. Keras clamps, ignores or fails far from the cause in most of these cases.
"""

import math
import operator


def positive_int(name, value):
    """`value` as an int ≥ 1."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}") from None
    if number < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return number


def rate(name, value):
    """`value` as a dropout rate in [0, 1]; Keras clamps 1.7 to 1 and says nothing."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise ValueError(
            f"`{name}` must be a number in [0, 1], the fraction of the units to drop. "
            f"Received: {name}={value!r}"
        )
    return number


def number(name, value, at_least=None, above=None):
    """`value` as a finite float, within bounds."""
    bound = f" ≥ {at_least}" if at_least is not None else f" > {above}" if above is not None else ""
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        result = float(value)
        fits = math.isfinite(result) and (at_least is None or result >= at_least)
        fits = fits and (above is None or result > above)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"`{name}` must be a finite number{bound}. Received: {name}={value!r}")
    return result


def flag(name, value):
    """`value` as a bool."""
    # A string such as "False" is truthy: it would switch the option on.
    if type(value).__name__ in ("bool", "bool_") or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")


def seed(name, value):
    """`value` as an int or None."""
    if value is None:
        return None
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"`{name}` must be an integer or None. Received: {name}={value!r}") from None


def resolved(kind, name, value):
    """`keras.<kind>.get(value)`, the error naming the argument."""
    import keras  # the other checks serve where Keras is not installed

    try:
        return getattr(keras, kind).get(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`{name}` must be None, a name or an object of `keras.{kind}`, or a callable. "
            f"Received: {name}={value!r}"
        ) from error


def sequences_shape(layer, shape):
    """Raises unless `shape` is (batch, time, features) with the features the layer was built for."""
    shape = tuple(shape)  # TensorFlow hands TensorShape
    if any(isinstance(size, (tuple, list)) for size in shape):
        raise ValueError(
            f"{named(layer)}: `sequences` must be one tensor of shape (batch, time, features). "
            f"Received shapes {shape}"
        )
    if len(shape) != 3:
        fix = ""
        if len(shape) == 2:
            fix = (
                " Add the missing axis: x[:, :, None] if each time step is one number, x[None] if the batch "
                "is missing; integer tokens go through an Embedding first."
            )
        elif len(shape) > 3:
            fix = " Reshape the axes after time into one features axis."
        raise ValueError(
            f"{named(layer)}: `sequences` must have 3 dimensions (batch, time, features). "
            f"Received shape {_text(shape)}.{fix}"
        )
    if shape[2] is None:
        raise ValueError(
            f"{named(layer)}: the last dimension (features) of `sequences` must be static, for it sizes "
            f"`kernel`. Received shape {_text(shape)}. Give it in `keras.Input(shape=(time, features))`."
        )
    if shape[1] == 0:
        raise ValueError(
            f"{named(layer)}: `sequences` must have at least one time step. Received shape {_text(shape)}."
        )
    kernel = getattr(layer.cell, "kernel", None)
    if kernel is not None and shape[2] != kernel.shape[0]:
        raise ValueError(
            f"{named(layer)}: `sequences` must have {kernel.shape[0]} features, as when the layer was "
            f"built. Received shape {_text(shape)}, {shape[2]} features."
        )


def mask_shape(layer, shape, sequences_shape):
    """Raises unless `shape` is (batch, time) or (batch, time, 1) of the sequences."""
    batch, time = sequences_shape[0], sequences_shape[1]
    trailing_ok = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
    if not trailing_ok or not _agree(shape[0], batch) or not _agree(shape[1], time):
        raise ValueError(
            f"{named(layer)}: `mask` must have shape (batch, time) = {_text((batch, time))}, True where a "
            f"step counts. Received shape {_text(shape)}."
        )


def one_state(layer, name, value):
    """The tensor in `value`, bare or in a list of one."""
    import keras

    flat = keras.tree.flatten(value)
    if len(flat) != 1:
        raise ValueError(
            f"{named(layer)}: `{name}` must be one tensor of shape (batch, units) or a list of one. "
            f"Received a list of {len(flat)}."
        )
    if not hasattr(flat[0], "shape"):
        raise ValueError(
            f"{named(layer)}: `{name}` must be a tensor or array of shape (batch, units). Received: {value!r}"
        )
    return flat[0]


def state_shape(layer, name, shape, batch, units):
    """Raises unless `shape` is (batch, units)."""
    if len(shape) != 2 or shape[1] != units:
        raise ValueError(
            f"{named(layer)}: `{name}` must have shape (batch, units) = {_text((batch, units))}. "
            f"Received shape {_text(shape)}."
        )
    if not _agree(shape[0], batch):
        raise ValueError(
            f"{named(layer)}: `{name}` must have the batch size of `sequences`, {batch}. "
            f"Received shape {_text(shape)}, batch size {shape[0]}."
        )


def _agree(a, b):
    return a is None or b is None or a == b


def named(layer):
    """How messages call a layer."""
    return f'{type(layer).__name__} "{layer.name}"'


def _text(shape):
    return "(" + ", ".join(str(size) for size in shape) + ")"
