"""Pruning schedules, which give the sparsity of a kernel at each update.

    schedule(step) → (whether to prune now, sparsity)

`PolynomialDecay` and `ConstantSparsity` are the classes of tensorflow-model-optimization (TFMOT; Zhu & Gupta 2017, "To
prune, or not to prune", section 3). Any other callable of this form works too: TFMOT is imported only when one of
its classes is used.
"""

import contextlib
import importlib
import math
import os
import warnings
from typing import Any

import keras

_TFMOT = "tensorflow_model_optimization"
_NAMES = ("ConstantSparsity", "PolynomialDecay")
_LEGACY = "TF_USE_LEGACY_KERAS"
# The steps at which a schedule is tried before training: the first two, and one per order of magnitude.
_TRIED_STEPS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_tfmot().sparsity.keras, name)


def check(schedule):
    """Raises unless `schedule` has the form that pruning needs, as far as some steps can show."""
    import tensorflow as tf

    if not callable(schedule) or isinstance(schedule, type):
        raise TypeError(
            "`schedule` must be a callable with schedule(step) -> (should_prune, sparsity), such as "
            f"kv.compression.ConstantSparsity(0.8, begin_step=0). Received: schedule={schedule!r}"
        )
    try:
        evaluate = traced(schedule)
        results = [evaluate(tf.constant(step, tf.int64)) for step in _TRIED_STEPS]
        sparsities = [float(sparsity) for _, sparsity in results]
    # A user's schedule may raise any kind of error.
    except Exception as error:
        raise ValueError(
            "`schedule(step)` must return (should_prune, sparsity), a bool and a number, computed from the int64 "
            f"tensor `step` with TensorFlow operations. Received: schedule={schedule!r}, which raised "
            f"{type(error).__name__}: {error}"
        ) from error
    for step, sparsity in zip(_TRIED_STEPS, sparsities, strict=True):
        if not (math.isfinite(sparsity) and 0.0 <= sparsity < 1.0):
            raise ValueError(
                "`schedule(step)` must return a sparsity in [0, 1), the share of weights that are zero. Received: "
                f"sparsity={sparsity} at step {step}, schedule={schedule!r}"
            )


def traced(schedule):
    """Returns the schedule as a TensorFlow function: an int64 tensor → (bool tensor, float32 tensor).

    Python's own `if` and `and` in a user's schedule are converted to TensorFlow's.
    """
    import tensorflow as tf

    @tf.function
    def evaluate(step):
        should_prune, sparsity = schedule(step)
        return tf.reshape(tf.cast(should_prune, tf.bool), ()), tf.reshape(tf.cast(sparsity, tf.float32), ())

    return evaluate


def to_config(schedule):
    """Returns a description from which `from_config` makes the schedule again.

    Returns None for a schedule that cannot be found by name, because it is neither from TFMOT nor registered with
    Keras.
    """
    cls = type(schedule)
    registered = keras.saving.get_registered_name(cls)
    if cls.__module__.startswith(f"{_TFMOT}.") and cls.__name__ in _NAMES:
        name = f"{_TFMOT}>{cls.__name__}"
    elif registered != cls.__name__ and hasattr(schedule, "get_config"):
        name = registered
    else:
        return None
    config = schedule.get_config()
    # TFMOT's schedules and their subclasses return this form.
    return {"name": name, "config": config["config"] if set(config) == {"class_name", "config"} else config}


def from_config(config):
    """Returns the schedule that `to_config` described.

    Raises:
        ModuleNotFoundError: the schedule is from TFMOT, which is not installed.
        ValueError: its class is not registered with Keras in this process.
    """
    package, _, name = config["name"].partition(">")
    if package == _TFMOT:
        cls = getattr(_tfmot().sparsity.keras, name)
    else:
        cls = keras.saving.get_registered_object(config["name"])
    if cls is None:
        raise ValueError(
            f"The model was pruned by the schedule {config['name']!r}, which is not registered in this process. Import "
            "the module that defines it, with @keras.saving.register_keras_serializable, before training, or call "
            "kv.compression.prune(model, schedule=...) for another one."
        )
    return cls(**config["config"])


def _tfmot():
    """Imports TFMOT, and keeps this process and the processes that it starts on Keras 3."""
    import tensorflow as tf

    # `tf.keras` chooses Keras 2 or 3 when it is first read, and TFMOT reads it after asking for Keras 2.
    getattr(tf.keras, "version", None)  # noqa: TID251 - read for that reason only
    with _environment_kept(_LEGACY), warnings.catch_warnings():
        # TFMOT 0.8.1 compares versions by the deprecated distutils.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module(_TFMOT)
        except ModuleNotFoundError as error:
            # TFMOT 0.8.1 also needs distutils, which Python 3.12 and later get from setuptools.
            raise ModuleNotFoundError(
                f"kv.compression.{' and '.join(_NAMES)} are classes of tensorflow-model-optimization, whose import "
                f"failed: {error}. Install it by pip install 'keras-vrnn[compression]', or pass a schedule of your "
                "own: any callable with schedule(step) -> (should_prune, sparsity).",
                name=error.name,
            ) from error


@contextlib.contextmanager
def _environment_kept(name):
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
