"""Training: models that clip and record gradient norms, and windows of long sequences."""

from keras_vrnn._registration import registering

with registering():
    from keras_vrnn.training.model import Model, Sequential
    from keras_vrnn.training.stateful_windows import Window, windows

__all__ = ["Model", "Sequential", "Window", "windows"]


def __dir__() -> list[str]:
    return __all__
