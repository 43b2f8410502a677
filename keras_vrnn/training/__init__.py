"""Training: a Model whose train_step clips gradient norms and records them, and windows of long sequences."""

from keras_vrnn._registration import registering

with registering():
    from keras_vrnn.training.model import Model, Sequential
    from keras_vrnn.training.windowing import Window, windows

__all__ = ["Model", "Sequential", "Window", "windows"]
