"""The inputs of a model: their types, and the arrays that users pass for them."""

import functools

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of
from keras_vrnn.tflite.exporting.capture import structure


def with_integer_tokens(model):
    """Returns the model with int32 inputs for token ids, which an Embedding reads; the same model if it has them.

    Keras declares inputs float32 by default, and quantization would round a float token id away.
    """
    tables = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)]
    read = {id(tensor) for layer in tables for tensor in keras.tree.flatten(layer.input)}
    return _with_types(model, ["int32" if id(t) in read else t.dtype for t in model.inputs])


def with_float32_inputs(model):
    """Returns the model with float32 inputs where it declares float16 or float64."""
    return _with_types(model, ["float32" if "float" in t.dtype else t.dtype for t in model.inputs])


def _with_types(model, types):
    if types == [tensor.dtype for tensor in model.inputs]:
        return model
    inputs = [
        keras.Input(batch_shape=t.shape, dtype=dtype, name=t.name)
        for t, dtype in zip(model.inputs, types, strict=True)
    ]
    return with_inputs(model, inputs)


def with_inputs(model, inputs):
    """Returns a model of the same layers, with shared weights, on other `keras.Input`s.

    Models inside the model are built again on the shapes that reach them.
    """
    sequential = isinstance(model, keras.Sequential)
    # A plain model first: clone_model compiles the copy of a compiled model.
    graph = keras.Model(*((model.inputs, model.outputs) if sequential else (model.input, model.output)))
    cloned = keras.models.clone_model(
        graph,
        input_tensors=keras.tree.pack_sequence_as(graph.input, list(inputs)),
        clone_function=lambda layer: layer,
        call_function=functools.partial(_call_on_any_shape, {}),
    )
    return keras.Model(inputs[0], cloned.output) if sequential else cloned


def _call_on_any_shape(made, layer, *args, **kwargs):
    """Calls a layer; a model, which has inputs of a fixed shape, is built again for another shape.

    `made` holds the new models, so that a shared model stays shared, which decides the order of Keras' calls.
    """
    if isinstance(layer, keras.Model) and getattr(layer, "inputs", None) and args:
        given = [tensor.shape[1:] for tensor in keras.tree.flatten(args[0])]
        if given != [tensor.shape[1:] for tensor in layer.inputs]:
            key = id(layer), *given
            if key not in made:
                made[key] = with_inputs(
                    layer,
                    [
                        keras.Input(shape, dtype=t.dtype, name=t.name)
                        for shape, t in zip(given, layer.inputs, strict=True)
                    ],
                )
            layer = made[key]
    return layer(*args, **kwargs)


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
