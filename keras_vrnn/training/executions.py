"""How many batches `fit` runs per execution: more than one only where a program cannot notice.

Keras (3.15) returns to Python after every batch, which costs a small recurrent model more than its arithmetic;
docs/decisions/fit.md has the measurements. A number that the user sets in `compile` never changes.
"""

import keras

from keras_vrnn.layers.interception import layers_of

LARGEST = 32  # batches in one execution
UPDATES_PER_EPOCH = 20  # the smallest number of updates of the progress bar
_WORTH_SAVING = 2e8  # multiply-adds; in a longer step, the time of the loop does not matter

BATCH_METHODS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


def batches_per_execution(model, callbacks, x, batch_size, steps_per_epoch):
    """Returns the number of batches per execution.

    The result is 1 where a callback sees batches, where the number of batches per epoch is unknown, and where several
    batches save no time.

    Args:
        model: A compiled model.
        callbacks: The user's callbacks: a list, one, None or a `keras.callbacks.CallbackList`.
        x, batch_size, steps_per_epoch: Arguments of `fit`.
    """
    if sees_batches(callbacks, BATCH_METHODS):
        return 1
    if not getattr(model, "inputs", None) or model.run_eagerly:
        return 1
    if model.distribute_strategy.num_replicas_in_sync > 1:  # Keras (3.15) cannot run several there
        return 1
    if model.gradient_settings.truncate_steps is not None:
        return 1  # the updates of a batch already share an execution
    steps = max((tensor.shape[1] or 1 for tensor in model.inputs if len(tensor.shape) > 1), default=1)
    if multiply_adds(model, batch_size or 32, steps) > _WORTH_SAVING:
        return 1
    batches, data_end = _batches_per_epoch(x, batch_size, steps_per_epoch)
    most = max(1, min(LARGEST, batches // UPDATES_PER_EPOCH))
    if data_end:  # the last execution of an epoch stops with the data
        return most
    return next(number for number in range(most, 0, -1) if batches % number == 0)


def sees_batches(callbacks, methods):
    """Whether a callback overrides a method that is called per batch, in its class or as `LambdaCallback` does.

    Args:
        callbacks: As in `fit`.
        methods: Names of the methods.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    base = [getattr(keras.callbacks.Callback, name) for name in methods]

    def own(callback):
        return [getattr(getattr(callback, name, None), "__func__", None) for name in methods]

    return any(own(callback) != base for callback in keras.tree.flatten(callbacks or []))


def _batches_per_epoch(x, batch_size, steps_per_epoch):
    """Returns the batches in every epoch, 0 if unknown, and whether the data end with the epoch."""
    if keras.config.max_steps_per_epoch():  # Keras then shortens epochs
        return 0, True
    if hasattr(x, "cardinality"):  # a tf.data.Dataset
        cardinality = int(x.cardinality())
        if steps_per_epoch is None:
            return max(0, cardinality), True
        # If data run out in the middle of an epoch, Keras counts executions instead of batches.
        endless = cardinality == _INFINITE
        return (steps_per_epoch if endless else 0), False
    if steps_per_epoch is not None:
        return 0, True
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches or 0, True
    leaves = keras.tree.flatten(x)
    if not leaves or not all(getattr(leaf, "shape", ()) for leaf in leaves):
        return 0, True
    return (leaves[0].shape[0] or 0) // (batch_size or 32), True


_INFINITE = -1  # tf.data.INFINITE_CARDINALITY, without importing TensorFlow


def multiply_adds(model, batch_size, steps):
    """The multiply-adds of a training step: three products with each weight matrix per time step."""
    tables = {id(layer.embeddings) for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)}
    matrices = [w.shape for w in model.trainable_weights if len(w.shape) == 2 and id(w) not in tables]
    return 3 * batch_size * steps * sum(rows * columns for rows, columns in matrices)
