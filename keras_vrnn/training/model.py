"""`Model` and `Sequential`: the classes of Keras with our training, built and saved as Keras does."""

from typing import Any

import keras

from keras_vrnn.training.files import HDF5Files
from keras_vrnn.training.stock_weights import StockWeightFiles
from keras_vrnn.training.trainer import GradientTraining

# What `keras.Model(inputs, outputs)` really makes. Keras has no public name for it.
_Functional: Any = type(keras.Model.__new__(keras.Model, inputs=None, outputs=None))


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Model(StockWeightFiles, HDF5Files, GradientTraining, keras.Model):
    """`keras.Model` whose training clips gradient norms and records them; see `compile`.

    `Model(inputs, outputs)` and subclassing with a `call` work as they do in Keras.
    """

    def __new__(cls, *args, **kwargs):
        if cls is Model and _has_functional_arguments(args, kwargs):
            cls = Functional
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        if _has_functional_arguments(args, kwargs):
            _make_functional(type(self))
            _Functional.__init__(self, *args, **kwargs)
        else:
            keras.Model.__init__(self, *args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Functional(Model, _Functional):
    """What `Model(inputs, outputs)` makes, as `keras.Model(inputs, outputs)` makes Keras' own `Functional`.

    It has the same name, after which Keras names models and groups in files of weights.
    """


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Sequential(StockWeightFiles, HDF5Files, GradientTraining, keras.Sequential):
    """`keras.Sequential` whose training clips gradient norms and records them; see `compile`."""


def _has_functional_arguments(args, kwargs):
    return len(args) == 2 or (len(args) == 1 and "outputs" in kwargs) or {"inputs", "outputs"} <= set(kwargs)


def _make_functional(cls):
    """Puts Functional in the place of Model among the bases of a user's class.

    Left to itself, Keras puts Functional among the bases of Model, and thereby breaks all models with a `call`.
    """
    if cls is Model:
        return Functional
    if issubclass(cls, Model) and not issubclass(cls, Functional):
        cls.__bases__ = tuple(_make_functional(base) for base in cls.__bases__)
    return cls
