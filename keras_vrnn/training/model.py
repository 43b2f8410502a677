"""`Model` and `Sequential`: Keras' classes with the training of this package."""

from typing import Any

import keras

from keras_vrnn.training.files import HDF5Files
from keras_vrnn.training.stock_weights import StockWeightFiles
from keras_vrnn.training.trainer import GradientTraining

# The class of `keras.Model(inputs, outputs)`, for which Keras has no public name.
_Functional: Any = type(keras.Model.__new__(keras.Model, inputs=None, outputs=None))


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Model(StockWeightFiles, HDF5Files, GradientTraining, keras.Model):
    """`keras.Model` whose training clips gradient norms and records them; see `compile`.

    `Model(inputs, outputs)` and subclassing with a `call` work as they do in Keras.
    """

    def __new__(cls, *args: Any, **kwargs: Any):
        if cls is Model and _has_functional_arguments(args, kwargs):
            cls = Functional
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if _has_functional_arguments(args, kwargs):
            _make_functional(type(self))
            _Functional.__init__(self, *args, **kwargs)
        else:
            keras.Model.__init__(self, *args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Functional(Model, _Functional):
    """The class of `Model(inputs, outputs)`.

    It has the name of its counterpart in Keras, after which Keras names models and groups in files of weights.
    """


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Sequential(StockWeightFiles, HDF5Files, GradientTraining, keras.Sequential):
    """`keras.Sequential` whose training clips gradient norms and records them; see `compile`."""


def _has_functional_arguments(args, kwargs):
    return len(args) == 2 or (len(args) == 1 and "outputs" in kwargs) or {"inputs", "outputs"} <= set(kwargs)


def _make_functional(cls):
    """Replaces Model by Functional among the bases of a user's class.

    Keras would put its own Functional among the bases of Model itself, and break every model with a `call`.
    """
    if cls is Model:
        return Functional
    if issubclass(cls, Model) and not issubclass(cls, Functional):
        cls.__bases__ = tuple(_make_functional(base) for base in cls.__bases__)
    return cls
