"""The vanilla recurrence in C++, for TensorFlow and JAX on a CPU: an option, never a need. README.md explains it."""

from keras_vrnn.native.library import enabled, set_enabled, unavailable

__all__ = ["enabled", "set_enabled", "unavailable"]
