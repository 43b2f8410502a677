"""The vanilla recurrence in C++: an option, never a need, for TensorFlow and JAX on a CPU. README.md here explains it."""

from keras_vrnn.native.library import enabled, set_enabled, unavailable

__all__ = ["enabled", "set_enabled", "unavailable"]
