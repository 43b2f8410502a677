"""Callbacks that read the gradient norms of a `kv.Model` or `kv.Sequential`."""

from keras_vrnn.training.callbacks.gradient_health import GradientHealth
from keras_vrnn.training.callbacks.gradient_norms import GradientNorms

__all__ = ["GradientHealth", "GradientNorms"]


def __dir__() -> list[str]:
    return __all__
