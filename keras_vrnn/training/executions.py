"""How many batches `fit` runs per execution: more than one only where a program cannot notice.

Keras (3.15) returns to Python after every batch, which costs a small recurrent model more than its arithmetic;
docs/decisions/fit.md has the measurements. A number that the user sets in `compile` never changes.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of

_LARGEST = 32  # batches in one execution
_UPDATES_PER_EPOCH = 20  # the smallest number of updates of the progress bar
_WORTH_SAVING = 2e8  # multiply-adds; in a longer step, the time of the loop does not matter

_MOST_BYTES = 2**28  # of data whose epochs run whole; they are copied to the device
_MOST_PER_CALL = 128  # batches: twice as many fit into the ring of gradient norms

# Seconds, for a guess: of a turn of a recurrence and its gradient, and of a multiply-add.
_PER_TURN, _PER_MULTIPLY_ADD = 2e-5, 5e-11

_BATCH_METHODS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


@dataclasses.dataclass(frozen=True)
class WholeEpochs:
    """How `fit` runs whole epochs in one program.

    Attributes:
        training: x, y and sample_weight, without the rows that `validation_split` takes away.
        validation: The validation data.
        batch_size: Rows per batch.
        batches: Batches per call of the program.
    """

    training: tuple
    validation: Any
    batch_size: int
    batches: int


def whole_epochs(model, arguments):
    """Returns `WholeEpochs` if `fit` may run whole epochs in one program, or None.

    That is decided here and nowhere else: for arrays in memory, where no callback sees batches, with our `train_step`,
    and with all of an epoch known before it begins.

    Args:
        model: A compiled model.
        arguments: The arguments of `fit`, by name.
    """
    import tensorflow as tf

    from keras_vrnn.training.trainer import GradientTraining

    callbacks = arguments["callbacks"]
    if isinstance(callbacks, keras.callbacks.CallbackList) or _returns_after_batches(model, callbacks):
        return None
    if model.distribute_strategy is not tf.distribute.get_strategy() or tf.distribute.has_strategy():
        return None
    own = (getattr(getattr(model, name), "__func__", None) for name in ("train_step", "make_train_function"))
    if tuple(own) != (GradientTraining.train_step, GradientTraining.make_train_function):
        return None
    if arguments["steps_per_epoch"] is not None or arguments["shuffle"] not in (True, False):
        return None
    if keras.config.max_steps_per_epoch():  # Keras then shortens epochs
        return None
    data = tuple(arguments[name] for name in ("x", "y", "sample_weight"))
    rows, validation, batch_size = _rows(data), arguments["validation_data"], arguments["batch_size"] or 32
    if rows and arguments["validation_split"] and validation is None:
        border = math.floor(rows * (1.0 - arguments["validation_split"]))
        if not 0 < border < rows:  # Keras then raises its own error
            return None
        rows, validation = border, _sliced(data, border, None)
        data = _sliced(data, None, border)
    batches = min(rows // batch_size, _batches_per_call(model, data[0], batch_size, rows)) if rows else 0
    # A power of two, so that data of other lengths often find their program compiled.
    return WholeEpochs(data, validation, batch_size, 1 << (batches.bit_length() - 1)) if batches > 1 else None


def _batches_per_call(model, x, batch_size, rows):
    """The most batches in one call: about a second's, for which the progress bar and Ctrl-C wait."""
    steps = max(leaf.shape[1] if len(leaf.shape) > 1 else 1 for leaf in _leaves(x))
    recurrences = sum(isinstance(layer, keras.layers.RNN) for layer in layers_of(model))
    seconds = _PER_TURN * steps * recurrences + _PER_MULTIPLY_ADD * _multiply_adds(model, batch_size, steps)
    ours = all(type(layer).__module__.split(".")[0] in ("keras", "keras_vrnn") for layer in layers_of(model))
    if not ours or any(len(weight.shape) > 2 for weight in model.trainable_weights):
        # Their time is unknown: a kernel of a convolution is used at many places.
        return min(_LARGEST, rows // batch_size // _UPDATES_PER_EPOCH)
    return min(_MOST_PER_CALL, int(1.0 / seconds))


def _sliced(data, start, stop):
    return keras.tree.map_structure(lambda leaf: leaf if leaf is None else leaf[start:stop], data)


def _leaves(data):
    return [leaf for leaf in keras.tree.flatten(data) if leaf is not None]


def _rows(data):
    """The rows of arrays that fit into memory once more, or 0 for all other data."""
    import tensorflow as tf

    rows, size = set(), 0
    for leaf in _leaves(data):
        # No subclasses: an `np.memmap` may be larger than the memory.
        if type(leaf) is not np.ndarray and not isinstance(leaf, tf.Tensor):
            return 0
        if not len(leaf.shape) or not _is_number(leaf.dtype):
            return 0
        rows.add(leaf.shape[0])
        size += math.prod(leaf.shape) * tf.as_dtype(leaf.dtype).size
    return rows.pop() if len(rows) == 1 and size <= _MOST_BYTES else 0


def _is_number(dtype):
    import tensorflow as tf

    if isinstance(dtype, np.dtype) and dtype.kind not in "biuf":
        return False
    dtype = tf.as_dtype(dtype)
    return dtype.is_floating or dtype.is_integer or dtype.is_bool


def _returns_after_batches(model, callbacks):
    """Whether something needs to come back to Python after every batch."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    if any(_sees_batches(callback) for callback in keras.tree.flatten(callbacks or [])):
        return True
    if not getattr(model, "inputs", None) or model.run_eagerly:
        return True
    if model.distribute_strategy.num_replicas_in_sync > 1:  # Keras (3.15) cannot run several there
        return True
    # The updates of a batch already share an execution.
    return model.gradient_settings.truncate_steps is not None


def batches_per_execution(model, callbacks, x, batch_size, steps_per_epoch):
    """Returns the number of batches per execution.

    The result is 1 where a callback sees batches, where the number of batches per epoch is unknown, and where several
    batches save no time.

    Args:
        model: A compiled model.
        callbacks: The user's callbacks: a list, one, None or a `keras.callbacks.CallbackList`.
        x, batch_size, steps_per_epoch: Arguments of `fit`.
    """
    if _returns_after_batches(model, callbacks):
        return 1
    steps = max((tensor.shape[1] or 1 for tensor in model.inputs if len(tensor.shape) > 1), default=1)
    if _multiply_adds(model, batch_size or 32, steps) > _WORTH_SAVING:
        return 1
    batches, data_end = _batches_per_epoch(x, batch_size, steps_per_epoch)
    most = max(1, min(_LARGEST, batches // _UPDATES_PER_EPOCH))
    if data_end:  # the last execution of an epoch stops with the data
        return most
    return next(number for number in range(most, 0, -1) if batches % number == 0)


def _sees_batches(callback):
    """Whether a callback overrides a method that is called per batch, in its class or as `LambdaCallback` does."""
    base = keras.callbacks.Callback
    own = [getattr(getattr(callback, name, None), "__func__", None) for name in _BATCH_METHODS]
    return own != [getattr(base, name) for name in _BATCH_METHODS]


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


def _multiply_adds(model, batch_size, steps):
    """The multiply-adds of a training step: three products with each weight matrix per time step."""
    tables = {id(layer.embeddings) for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)}
    matrices = [w.shape for w in model.trainable_weights if len(w.shape) == 2 and id(w) not in tables]
    return 3 * batch_size * steps * sum(rows * columns for rows, columns in matrices)
