"""The types of a model's inputs."""

import functools

import keras

from keras_vrnn.layers.interception import layers_of


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
