"""Vanilla (Elman) recurrent networks for Keras 3, from the cell to the device.

Names are handed on lazily (PEP 562), so that `from keras_vrnn.tflite import Runner` starts fast,
and works where neither TensorFlow nor Keras is installed.
"""

import importlib

from keras_vrnn._registration import register_when_keras_is_imported
from keras_vrnn._version import __version__

# Public name -> module that defines it. A name equal to the module's last part is the module itself.
_EXPORTS = {
    "Bidirectional": "keras_vrnn.layers",
    "Model": "keras_vrnn.training",
    "Sequential": "keras_vrnn.training",
    "StackedVanillaRNN": "keras_vrnn.layers",
    "VanillaRNN": "keras_vrnn.layers",
    "VanillaRNNCell": "keras_vrnn.layers",
    "callbacks": "keras_vrnn.training.callbacks",
    "datasets": "keras_vrnn.datasets",
    "initializers": "keras_vrnn.layers.initializers",
    "text": "keras_vrnn.text",
    "tflite": "keras_vrnn.tflite",
}

__all__ = ["__version__", *sorted(_EXPORTS)]  # noqa: PLE0604


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_EXPORTS[name])
    value = module if module.__name__.endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return __all__


register_when_keras_is_imported()
