"""Vanilla (Elman) recurrent networks for Keras 3, from the cell to the device.

Names are handed on lazily (PEP 562), so that `from keras_vrnn.tflite import Runner` starts fast,
and works where neither TensorFlow nor Keras is installed.
"""

from keras_vrnn._lazy import names_of
from keras_vrnn._registration import register_when_keras_is_imported
from keras_vrnn._version import __version__ as __version__

_EXPORTS = {
    "Bidirectional": "keras_vrnn.layers",
    "EncoderDecoder": "keras_vrnn.models",
    "Model": "keras_vrnn.training",
    "Sequential": "keras_vrnn.training",
    "StackedVanillaRNN": "keras_vrnn.layers",
    "Symbols": "keras_vrnn.symbols",
    "VanillaRNN": "keras_vrnn.layers",
    "VanillaRNNCell": "keras_vrnn.layers",
    "callbacks": "keras_vrnn.training.callbacks",
    "datasets": "keras_vrnn.datasets",
    "diagnostics": "keras_vrnn.diagnostics",
    "initializers": "keras_vrnn.layers.initializers",
    "many_to_many": "keras_vrnn.models",
    "many_to_one": "keras_vrnn.models",
    "models": "keras_vrnn.models",
    "one_to_many": "keras_vrnn.models",
    "text": "keras_vrnn.text",
    "tflite": "keras_vrnn.tflite",
    "training": "keras_vrnn.training",
}

__all__, __getattr__, __dir__ = names_of(__name__, _EXPORTS)
__all__.insert(0, "__version__")

register_when_keras_is_imported()
