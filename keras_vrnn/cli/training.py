"""Trains and measures a model on data from files, as the model in its file was compiled."""

import numpy as np

from keras_vrnn.cli.loading import load_data


def load_samples(path, argument):
    """Returns the inputs and targets of an .npz file; `argument` is the option's name, for errors."""
    x, y = load_data(path, argument)
    if y is None:
        raise ValueError(
            f"`{argument}` must be an .npz file with the targets as y. Received: {argument}={path!r} without y"
        )
    arrays = [*(x.values() if isinstance(x, dict) else [x]), y]
    lengths = {len(array) if array.ndim else 0 for array in arrays}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            f"`{argument}` must hold arrays of the same number of samples, at least one. Received: {argument}={path!r} "
            f"with {', '.join(map(str, sorted(lengths)))} samples"
        )
    return x, y


def fitted(model, data, argument):
    """Returns x and y as the model takes them: named inputs in the order of its graph."""
    x, y = data
    if len(getattr(model, "outputs", None) or ()) > 1:
        raise ValueError(
            f"`model` must have one output, as `{argument}` has one array of targets. Received: {len(model.outputs)} "
            "outputs. Call kv.compression from Python."
        )
    names = [tensor.name for tensor in getattr(model, "inputs", None) or ()]
    if not isinstance(x, dict) or not names:  # a subclassed model may take any names
        return x, y
    if set(names) != set(x):
        raise ValueError(
            f"`{argument}` must have the model's inputs {', '.join(map(repr, names))}. Received: the arrays "
            f"{', '.join(map(repr, x))}"
        )
    ordered = tuple(x[name] for name in names)
    if len(names) == 1:
        return ordered[0], y
    return (x if isinstance(model.input, dict) else ordered), y


def compile_config(model, options):
    """Returns how the model of a file was compiled, with the loss, metrics and learning rate of the options."""
    import keras

    config = dict(model.get_compile_config() or {}) if model.compiled else {}
    if options.loss is not None:
        config["loss"] = options.loss
    if options.metrics is not None:
        config["metrics"] = options.metrics
    if not config.get("loss"):
        raise ValueError(
            f"`loss` must be given for a model that is saved without one. Received: model={options.model!r}. Pass "
            "--loss NAME, such as sparse_categorical_crossentropy or mse."
        )
    for name, kind in (("loss", keras.losses), ("metrics", keras.metrics)):
        for identifier in np.ravel(getattr(options, name) or []):
            try:
                kind.get(str(identifier))
            except ValueError as error:
                raise ValueError(
                    f"`{name}` must be the name of a Keras {name.rstrip('s')}: {error}"
                ) from error
    config.setdefault("optimizer", keras.optimizers.serialize(keras.optimizers.Adam()))
    if options.learning_rate is not None:
        optimizer = config["optimizer"]["config"]
        while "inner_optimizer" in optimizer:
            optimizer = optimizer["inner_optimizer"]["config"]
        optimizer["learning_rate"] = options.learning_rate
    return config


def compile_as(model, config):
    """Compiles a model by what `compile_config` returned, with a fresh optimizer."""
    model.compile_from_config(config)
    if not model.compiled:
        raise ValueError(
            f"`model` must be compiled as Keras compiles models. Received: {type(model).__name__}, whose compile() is "
            "its own. Call kv.compression from Python."
        )


def some(data, count, seed):
    """Returns `count` samples of the data, drawn at random, since files are often sorted; all of fewer."""
    import keras

    chosen = np.sort(np.random.default_rng(seed).permutation(len(data[1]))[:count])
    return keras.tree.map_structure(lambda array: array[chosen], data)


def measures(model, data, batch_size, argument):
    """Returns the loss and the metrics of a model, the loss first."""
    import tensorflow as tf

    try:
        found = model.evaluate(*data, batch_size=batch_size, verbose=0, return_dict=True)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            f"`{argument}` must fit the model and its loss: {getattr(error, 'message', error)}"
        ) from error
    return {"loss": found.pop("loss"), **found}
