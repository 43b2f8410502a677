"""A model's inputs: their types, and the arrays that users pass for them."""

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of


def with_integer_tokens(model):
    """Gives int32 inputs to a model whose float inputs are token ids: those that an Embedding reads.

    Keras declares inputs float32 unless told otherwise. A float token id would be quantized away.
    """
    tables = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)]
    read = {id(tensor) for layer in tables for tensor in keras.tree.flatten(layer.input)}
    tokens = [id(t) in read and "float" in t.dtype for t in model.inputs]
    if not any(tokens):
        return model
    inputs = [
        keras.Input(batch_shape=t.shape, dtype="int32" if is_token else t.dtype, name=t.name)
        for t, is_token in zip(model.inputs, tokens, strict=True)
    ]
    return with_inputs(model, inputs)


def with_inputs(model, inputs):
    """Returns a model of the same layers, weights shared, on other `keras.Input`s."""
    if isinstance(model, keras.Sequential):  # clone_model makes a plain Sequential, and compiles it like ours
        return keras.Sequential([*inputs, *model.layers], name=model.name)
    inputs = keras.tree.pack_sequence_as(model.input, inputs)
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=lambda layer: layer)


def as_inputs(model, x, argument):
    """Returns `x` as a list of arrays, one an input of the model, in their dtypes.

    Args:
        model: a built Keras model.
        x: an array, a list or tuple of arrays, or a dictionary input name -> array; the batch axis first.
        argument: the name of the caller's argument, for the error.

    Raises:
        ValueError: there is no sample, an input is missing, or a shape, dtype or value is not one the model takes.
    """
    names = [tensor.name for tensor in model.inputs]
    if isinstance(x, dict):
        if set(x) != set(names):
            raise ValueError(f"{argument}: expected the inputs {names}, received {sorted(x)}.")
        arrays = [x[name] for name in names]
    elif isinstance(x, (list, tuple)) and len(names) > 1:
        arrays = list(x)
    else:
        arrays = [x]
    if len(arrays) != len(names):
        raise ValueError(
            f"{argument}: expected {len(names)} arrays, one for each of {names}; received {len(arrays)}."
        )
    arrays = [
        _as_input(tensor, array, f"{argument}[{tensor.name!r}]" if len(names) > 1 else argument)
        for tensor, array in zip(model.inputs, arrays, strict=True)
    ]
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(
            f"{argument}: the inputs hold different numbers of samples: {[len(a) for a in arrays]}."
        )
    return arrays


def _as_input(tensor, array, argument):
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise ValueError(f"{argument}: expected an array of shape {_shape(tensor)}: {error}") from None
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(f"{argument}: expected numbers, received an array of {array.dtype}.")
    fits = array.ndim == len(tensor.shape) and all(
        expected in (None, received)
        for expected, received in zip(tensor.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(f"{argument}: expected the shape {_shape(tensor)}, received {array.shape}.")
    if array.size == 0:
        raise ValueError(f"{argument}: it is empty (shape {array.shape}); pass at least one sample.")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise ValueError(f"{argument}: it holds NaN or infinite values; remove those samples.")
    converted = array.astype(tensor.dtype)
    if np.issubdtype(converted.dtype, np.integer) and not np.array_equal(converted, array):
        raise ValueError(
            f"{argument}: expected integers, received fractions (e.g. {array[converted != array][0]})."
        )
    return converted


def _shape(tensor):
    return "(" + ", ".join(["samples", *("any" if n is None else str(n) for n in tensor.shape[1:])]) + ")"
