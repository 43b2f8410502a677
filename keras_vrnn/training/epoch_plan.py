"""Where `fit`, `evaluate` and `predict` run whole epochs in a few calls of one program; decided here and nowhere else.

For arrays in memory, where no callback sees batches, with the steps of this package, and with all of an epoch known
before it begins. Everything else goes batch by batch, with `executions.batches_per_execution`.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from keras_vrnn.layers.interception import layers_of
from keras_vrnn.training import executions
from keras_vrnn.training.progress_bar import ProgressBar

_MOST_BYTES = 2**28  # of data; they are copied to the device, and a window of them once more
_MOST_BATCHES = 128  # per call: twice as many fit into the ring of gradient norms

# Seconds, for a guess: of an update at least, of a turn of a recurrence and its gradient, and of a multiply-add.
_PER_BATCH, _PER_TURN, _PER_MULTIPLY_ADD = 1e-4, 2e-5, 5e-11


@dataclasses.dataclass(frozen=True)
class Plan:
    """How an epoch runs.

    Attributes:
        data: x, y and sample_weight, without the rows that `validation_split` takes away.
        validation: The validation data.
        batch_size: Rows per batch.
        batches: Batches per call of the program.
    """

    data: tuple
    validation: Any
    batch_size: int
    batches: int


def for_fit(model, arguments):
    """Returns a `Plan`, or None to train batch by batch.

    Args:
        model: A compiled model.
        arguments: The arguments of `fit`, by name.
    """
    callbacks, share = arguments["callbacks"], arguments["validation_split"]
    data, validation = _data(arguments), arguments["validation_data"]
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return None
    if executions.sees_batches(callbacks, executions.BATCH_METHODS):
        return None
    if not _runs_our_steps(model, "train_step", "make_train_function"):
        return None
    if arguments["steps_per_epoch"] is not None or arguments["shuffle"] not in (True, False):
        return None
    if share and validation is None:
        rows = _rows(data)
        border = math.floor(rows * (1.0 - share))
        if not 0 < border < rows:  # Keras raises its own error for no rows
            return None
        data, validation = _sliced(data, None, border), _sliced(data, border, None)
    return _plan(model, data, validation, arguments["batch_size"])


def for_evaluate(model, arguments):
    """Returns a `Plan`, or None to evaluate batch by batch.

    Args:
        model: A compiled model.
        arguments: The arguments of `evaluate`, by name.
    """
    if executions.sees_batches(_users(arguments["callbacks"]), ("on_test_batch_begin", "on_test_batch_end")):
        return None
    if not _runs_our_steps(model, "test_step", "make_test_function"):
        return None
    return (
        None
        if arguments["steps"] is not None
        else _plan(model, _data(arguments), None, arguments["batch_size"])
    )


def for_predict(model, arguments):
    """Returns a `Plan`, or None to predict batch by batch.

    Args:
        model: A compiled model.
        arguments: The arguments of `predict`, by name.
    """
    callbacks = arguments["callbacks"]
    if executions.sees_batches(callbacks, ("on_predict_batch_begin", "on_predict_batch_end")):
        return None
    if not _runs_our_steps(model, "predict_step", "make_predict_function", "call") or model.jit_compile:
        return None
    if any(not len(output.shape) or None in output.shape[1:] for output in model.outputs):
        return None  # the outputs of a window are collected in an array
    if arguments["steps"] is not None:
        return None
    return _plan(model, (arguments["x"], None, None), None, arguments["batch_size"])


def _users(callbacks):
    """The callbacks without Keras' progress bar, which is among them where `fit` calls `evaluate`."""
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    bars = (keras.callbacks.ProgbarLogger, ProgressBar)
    return [each for each in callbacks.callbacks if type(each) not in bars]


def _data(arguments):
    return tuple(arguments[name] for name in ("x", "y", "sample_weight"))


def _runs_our_steps(model, *methods):
    """Whether a model runs on one device in graphs, and does not override these methods."""
    import tensorflow as tf

    from keras_vrnn.training.model import Functional, Sequential

    if not getattr(model, "inputs", None) or model.run_eagerly or tf.config.functions_run_eagerly():
        return False
    # With truncated BPTT, the updates of a batch already share an execution.
    if model.gradient_settings.truncate_steps is not None:
        return False
    if model.distribute_strategy is not tf.distribute.get_strategy() or tf.distribute.has_strategy():
        return False
    ours = Sequential if isinstance(model, keras.Sequential) else Functional
    return all(getattr(getattr(model, name), "__func__", None) is getattr(ours, name) for name in methods)


def _plan(model, data, validation, batch_size):
    if keras.config.max_steps_per_epoch():  # Keras then shortens epochs
        return None
    batch_size = 32 if batch_size is None else batch_size
    rows = _rows(data)
    if not rows or not isinstance(batch_size, int) or batch_size < 1:
        return None
    batches = min(rows // batch_size, _batches_per_call(model, data[0], batch_size, rows))
    # A power of two, so that data of other lengths often find their program compiled.
    return Plan(data, validation, batch_size, 1 << (batches.bit_length() - 1)) if batches > 1 else None


def _batches_per_call(model, x, batch_size, rows):
    """The most batches in one call: about a second's, for which the progress bar and Ctrl-C wait."""
    layers = layers_of(model)
    ours = all(type(layer).__module__.split(".")[0] in ("keras", "keras_vrnn") for layer in layers)
    if not ours or any(len(weight.shape) > 2 for weight in model.trainable_weights):
        # Their time is unknown: a kernel of a convolution is used at many places.
        return min(executions.LARGEST, rows // batch_size // executions.UPDATES_PER_EPOCH)
    steps = max(leaf.shape[1] if len(leaf.shape) > 1 else 1 for leaf in _leaves(x))
    turns = steps * sum(isinstance(layer, keras.layers.RNN) for layer in layers)
    multiply_adds = executions.multiply_adds(model, batch_size, steps)
    seconds = _PER_BATCH + _PER_TURN * turns + _PER_MULTIPLY_ADD * multiply_adds
    return min(_MOST_BATCHES, int(1.0 / seconds))


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
