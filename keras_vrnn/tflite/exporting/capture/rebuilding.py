"""Rebuilds a model in float32 and without states, and compares a rebuilt model with its original.

Needs the TensorFlow backend.
"""

import tempfile
import types
import warnings

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of
from keras_vrnn.models import structure
from keras_vrnn.tflite.exporting.stateful import from_zero

# The mean difference that another precision may make, relative to the largest output: some tens of roundings of
# 2^-11 and 2^-8; for float32 and float64, float32 rounding over some hundred steps.
_MEAN_ERROR = {"float16": 0.02, "bfloat16": 0.1}
_FLOAT32_ERROR = 1e-4


def rebuilt(model):
    """Returns a model with the same layers and weights that computes in float32 and starts every batch from zero.

    Raises:
        ValueError: Keras can't build the model from its configuration.
    """
    layers, functions = layers_of(model), {}
    try:
        with warnings.catch_warnings():
            # Keras warns of a lambda in a configuration that someone may store.
            warnings.simplefilter("ignore", UserWarning)
            config = _plain(model.get_config(), {layer.name: layer for layer in layers}, functions)
        # The user's own classes need not be registered.
        classes = {type(layer).__name__: type(layer) for layer in layers}
        with keras.saving.custom_object_scope(classes | functions):
            made = type(model).from_config(config)
        for old, new in zip(layers, layers_of(made), strict=True):
            _copy_state(old, new)
    except Exception as error:  # of the user's own layers: any kind
        raise ValueError(
            "`model` must have a configuration from which Keras can build it in float32 and without states. "
            f"Received: {type(error).__name__}: {error}. Build the model with dtype='float32' and stateful=False "
            "yourself, and copy the weights."
        ) from error
    return made


def check_same(model, made, arrays):
    """Refuses a rebuilt model that does not compute what its original computes.

    Args:
        model: The original; its states stay what they are.
        made: The rebuilt model.
        arrays: Inputs of the rebuilt model, the batch axis first.

    Raises:
        ValueError: An output differs by more than rounding.
    """
    size = next((t.shape[0] for t in model.inputs if t.shape[0] is not None), min(32, len(arrays[0])))
    arrays = [array[np.arange(size) % len(array)] for array in arrays]
    with from_zero(model):
        given = [array.astype(t.dtype) for array, t in zip(arrays, model.inputs, strict=True)]
        expected = [_float(output) for output in keras.tree.flatten(structure.call(model, given))]
    received = [_float(output) for output in keras.tree.flatten(structure.call(made, arrays))]
    types_ = {str(layer.compute_dtype) for layer in layers_of(model)}
    tolerance = max([_FLOAT32_ERROR, *(_MEAN_ERROR[name] for name in types_ & set(_MEAN_ERROR))])
    for e, r in zip(expected, received, strict=True):
        finite = np.isfinite(e)
        error = np.abs(e - r)[finite].mean() if finite.any() else 0.0
        if not error <= tolerance * np.abs(e[finite]).max(initial=0.0):
            raise ValueError(
                "`model` must compute the same when it is rebuilt in float32, without states and with int32 tokens. "
                f"Received: outputs that differ by {error:.3g} on average. A layer holds something that is neither in "
                "its weights nor in its configuration, or the model has a `call` of its own. Build the model with "
                "dtype='float32', stateful=False and int32 inputs for tokens yourself, and copy the weights."
            )


def _float(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype(np.float64)


def _copy_state(old, new):
    """Loads what one layer would save into another: its variables, and the values that it derives from them."""
    store = {}
    old.save_own_variables(store)
    new.load_own_variables({key: np.array(value) for key, value in store.items()})
    if hasattr(old, "save_assets"):  # lookup tables
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)


def _plain(config, layers, functions):
    """Returns a configuration, at any depth, in float32 and without states and fixed batch sizes.

    Args:
        config: The configuration.
        layers: Name -> layer.
        functions: Receives name -> function for the functions that layers hold, because Keras stores the bytecode of a
            lambda and only the name of another function.
    """
    if isinstance(config, (list, tuple)):
        return [_plain(item, layers, functions) for item in config]
    if not isinstance(config, dict):
        return config
    layer = layers.get(config.get("name"))
    plain = {}
    for key, value in config.items():
        if key == "output_shape" and isinstance(layer, keras.layers.Lambda):  # Keras infers it
            continue
        function = getattr(layer, key, None) if isinstance(value, dict) else None
        if isinstance(function, types.FunctionType):
            name = f"{key} of {layer.name}"
            functions[name] = function
            plain[key] = {"class_name": "function", "config": name, "registered_name": name, "module": None}
        else:
            plain[key] = _plain_entry(key, value, layers, functions)
    return plain


def _plain_entry(key, value, layers, functions):
    if key == "dtype" and "float" in str(value):
        return "float32"
    if key == "stateful":
        return False
    if key == "batch_shape" and value is not None:
        return [None, *value[1:]]
    return _plain(value, layers, functions)
