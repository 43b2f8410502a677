"""A model's inputs: their types, and the arrays that users pass for them."""

import functools

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of
from keras_vrnn.tflite.exporting.capture import structure


def with_integer_tokens(model):
    """Gives int32 inputs to a model whose inputs of another type are token ids: those that an Embedding reads.

    Keras declares inputs float32 unless told otherwise. A float token id would be quantized away.
    """
    tables = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)]
    read = {id(tensor) for layer in tables for tensor in keras.tree.flatten(layer.input)}
    return _with_types(model, ["int32" if id(t) in read else t.dtype for t in model.inputs])


def with_float32_inputs(model):
    """Gives float32 inputs to a model that declares them float16 or float64."""
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
    """Returns a model of the same layers, weights shared, on other `keras.Input`s; models inside it follow."""
    sequential = isinstance(model, keras.Sequential)
    # A plain model first: clone_model compiles what it makes of a compiled one.
    graph = keras.Model(*((model.inputs, model.outputs) if sequential else (model.input, model.output)))
    cloned = keras.models.clone_model(
        graph,
        input_tensors=keras.tree.pack_sequence_as(graph.input, list(inputs)),
        clone_function=lambda layer: layer,
        call_function=functools.partial(_call_on_any_shape, {}),
    )
    return keras.Model(inputs[0], cloned.output) if sequential else cloned


def _call_on_any_shape(made, layer, *args, **kwargs):
    """Calls a layer; a model, whose inputs have a fixed shape, is made anew for another one.

    `made` keeps the new ones: a model that is shared stays shared, which decides the order of the calls.
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
    """Returns `x` as a list of arrays, one an input of the model, in their dtypes.

    Args:
        model: a built Keras model.
        x: an array, a list or tuple of arrays, a dictionary input name -> array, or arrays in the structure of the
            model's inputs; the batch axis first.
        argument: the name of the caller's argument, for the error.

    Raises:
        ValueError: there is no sample, an input is missing, or a shape, dtype or value is not one the model takes.
    """
    names = structure.input_names(model)
    given = structure.flat(model, x)
    if given is None and isinstance(x, dict):
        raise ValueError(f"{argument}: expected the inputs {names}, received {sorted(map(str, x))}.")
    if given is None:
        received = f"{len(x)} of them" if isinstance(x, (list, tuple)) else type(x).__name__
        raise ValueError(
            f"{argument}: expected {len(names)} arrays, one per input {names}; received {received}."
        )
    arrays = [
        _as_input(tensor, array, f"{argument}[{name!r}]" if len(names) > 1 else argument)
        for name, tensor, array in zip(names, model.inputs, given, strict=True)
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
    if array.dtype.kind not in "fiub":
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
