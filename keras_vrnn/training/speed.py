"""What `fit` runs by itself so that its own loop costs less than the model's arithmetic.

Keras (3.15) leaves XLA off on a CPU and comes back to Python after every batch. For a small recurrent model both
cost more than the training step; docs/decisions/fit.md has the figures. A user's own choice is never changed.
"""

import keras

from keras_vrnn.layers.interception import layers_of

_LARGEST = 32  # batches in one execution
_UPDATES_PER_EPOCH = 20  # of the progress bar, at least
_WORTH_SAVING = 2e8  # multiply-adds; a step of more takes so long that the loop around it does not matter


def xla_helps(model):
    """Tells whether XLA is safe for this model and makes it faster.

    Safe: TensorFlow on one replica, layers of Keras and this package only, all of which support XLA, and input shapes
    that are fixed but for the batch, since XLA compiles anew for each shape. Faster: there is a recurrence.
    """
    inputs = getattr(model, "inputs", None)
    if keras.backend.backend() != "tensorflow" or not inputs or model.run_eagerly:
        return False
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return False
    layers = list(layers_of(model))
    known = all(type(layer).__module__.split(".")[0] in ("keras", "keras_vrnn") for layer in layers)
    fixed = all(None not in tensor.shape[1:] for tensor in inputs)
    recurrent = any(isinstance(layer, keras.layers.RNN) for layer in layers)
    return known and fixed and recurrent and all(layer.supports_jit for layer in layers)


def batches_per_execution(model, batch_size, batches, callbacks):
    """How many batches `fit` may run without coming back to Python.

    Args:
        model: a compiled model.
        batch_size: samples a batch.
        batches: batches an epoch, or None if that is not known.
        callbacks: the user's callbacks: a list, one, None or a `keras.callbacks.CallbackList`.

    Returns:
        1 where a callback wants to see every batch, else so many that the progress bar still moves.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    if batches is None or any(_sees_batches(callback) for callback in keras.tree.flatten(callbacks or [])):
        return 1
    if not getattr(model, "inputs", None) or model.run_eagerly:
        return 1
    if model.distribute_strategy.num_replicas_in_sync > 1:  # there Keras (3.15) can't run several
        return 1
    if (
        model.gradient_settings.truncate_steps is not None
    ):  # the updates of a batch share an execution already
        return 1
    if _multiply_adds(model, batch_size) > _WORTH_SAVING:
        return 1
    return max(1, min(_LARGEST, batches // _UPDATES_PER_EPOCH))


def batches_in(x, batch_size, validation_split):
    """How many batches `fit` makes of `x` in an epoch, or None if that is not known beforehand."""
    if hasattr(x, "cardinality"):  # a tf.data.Dataset, of batches
        count = int(x.cardinality())
        return count if count > 0 else None
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches
    leaves = keras.tree.flatten(x)
    if not all(hasattr(leaf, "shape") for leaf in leaves) or not leaves:
        return None
    samples = int(leaves[0].shape[0] * (1.0 - validation_split))
    return -(-samples // (batch_size or 32))


def _sees_batches(callback):
    # Our own callbacks read what the step recorded, and lose nothing.
    if type(callback).__module__.startswith("keras_vrnn.") or isinstance(callback, keras.callbacks.History):
        return False
    methods = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    base = keras.callbacks.Callback
    return any(getattr(type(callback), name, None) is not getattr(base, name) for name in methods)


def _multiply_adds(model, batch_size):
    """Those of a training step: three products with each weight matrix, for each time step."""
    steps = max(tensor.shape[1] or 1 for tensor in model.inputs)
    tables = {id(layer.embeddings) for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)}
    matrices = [w.shape for w in model.trainable_weights if len(w.shape) == 2 and id(w) not in tables]
    return 3 * batch_size * steps * sum(rows * columns for rows, columns in matrices)
