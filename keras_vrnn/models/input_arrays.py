"""The arrays that users pass for the inputs of a model."""

import numpy as np

from keras_vrnn.models import structure


def as_inputs(model, x, argument):
    """Returns `x` as a list of arrays, one per input of the model, in the dtypes of the inputs.

    Args:
        model: A built Keras model.
        x: An array, a list or tuple of arrays, a dictionary input name -> array, or arrays in the structure of the
            model's inputs; the batch axis first.
        argument: The name of the caller's argument, for the error.

    Raises:
        ValueError: There is no sample, an input is missing, or the model does not take a shape, dtype or value.
    """
    names = structure.input_names(model)
    given = structure.flat(model, x)
    if given is None:
        if isinstance(x, dict):
            received = f"the keys {sorted(map(str, x))}"
        else:
            received = f"{len(x)} arrays" if isinstance(x, (list, tuple)) else f"a {type(x).__name__}"
        raise ValueError(
            f"`{argument}` must have one array per input of the model, {names}. Received: {received}."
        )
    arrays = [
        _as_input(tensor, array, f"{argument}[{name!r}]" if len(names) > 1 else argument)
        for name, tensor, array in zip(names, model.inputs, given, strict=True)
    ]
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(
            f"`{argument}` must have the same number of samples for every input. "
            f"Received: {[len(array) for array in arrays]} samples."
        )
    return arrays


def _as_input(tensor, array, argument):
    shape = _shape(tensor)
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise ValueError(
            f"`{argument}` must be an array of shape {shape}. Received: a {type(array).__name__} ({error})."
        ) from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"`{argument}` must hold numbers. Received: an array of {array.dtype}.")
    fits = array.ndim == len(tensor.shape) and all(
        expected in (None, received)
        for expected, received in zip(tensor.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(f"`{argument}` must have the shape {shape}. Received: shape {array.shape}.")
    if array.size == 0:
        raise ValueError(f"`{argument}` must hold at least one sample. Received: shape {array.shape}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"`{argument}` must be finite. Received: NaN or infinite values in {_rows_with(~np.isfinite(array))} of "
            f"{len(array)} samples. Remove those samples."
        )
    with np.errstate(all="ignore"):  # the lines below refuse what does not fit
        converted = array.astype(tensor.dtype)
    if converted.dtype.kind == "f" and not np.isfinite(converted).all():
        raise ValueError(
            f"`{argument}` must fit {tensor.dtype}. Received: values up to {np.abs(array).max():.3g}. Scale the data."
        )
    if converted.dtype.kind in "iu" and not np.array_equal(converted, array):
        raise ValueError(
            f"`{argument}` must hold integers that fit {tensor.dtype}. "
            f"Received: values such as {array[converted != array][0]}."
        )
    return converted


def _rows_with(flags):
    return int(flags.reshape(len(flags), -1).any(axis=1).sum())


def _shape(tensor):
    return "(" + ", ".join(["samples", *("any" if n is None else str(n) for n in tensor.shape[1:])]) + ")"
