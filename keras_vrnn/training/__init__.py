"""Training: a Model whose train_step clips gradient norms and records them."""

from keras_vrnn.training.model import Model, Sequential

__all__ = ["Model", "Sequential"]
