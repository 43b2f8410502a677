"""Copies a model and leaves it unchanged."""

import keras

from keras_vrnn.layers.interception import layers_of


def check_built(model):
    """Raises unless `model` is a Keras model with weights."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a Keras model. Received: {type(model).__module__}.{type(model).__name__}"
        )
    if not model.built or not model.weights:
        raise ValueError(
            f'`model` must be built, so that it has weights. Received: {type(model).__name__} "{model.name}" without '
            "any. Start it with a keras.Input, or call it on some data first."
        )


def copy_of(model):
    """Returns a new, uncompiled model with the same configuration and weights.

    Raises:
        ValueError: the model's configuration does not make the same model.
    """
    known = {type(layer).__name__: type(layer) for layer in [model, *layers_of(model)]}
    try:
        config = {**keras.saving.serialize_keras_object(model), "compile_config": None}
        # Not safe_mode: the code of a Lambda layer comes from this process, not from a file.
        twin = keras.saving.deserialize_keras_object(config, custom_objects=known, safe_mode=False)
    # Any layer's configuration may be at fault, in its own way.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f'{type(model).__name__} "{model.name}" cannot be copied by its configuration: {type(error).__name__}: '
            f"{reason} Give its class and its layers a get_config() and a from_config() by which "
            "keras.models.clone_model can copy it."
        ) from error
    shapes = [tuple(w.shape) for w in model.weights]
    if not twin.built or shapes != [tuple(w.shape) for w in twin.weights]:
        raise ValueError(
            f'{type(model).__name__} "{model.name}" cannot be copied by its configuration: the copy has '
            f"{len(twin.weights)} weights of other shapes than the {len(shapes)} of the model. Layers that two nested "
            "models share, or a model that is only built by its first call, are such cases; build it from a "
            "keras.Input."
        )
    twin.set_weights(model.get_weights())
    finish(twin)
    return twin


def finish(model):
    """Applies weights that were set: `Normalization` computes with a copy of what it has learned."""
    for layer in layers_of(model):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
