"""Vanilla (Elman) recurrent networks for Keras 3, from the cell to the device.

Names are loaded on first use (PEP 562), so that `from keras_vrnn.tflite import Runner` starts fast, and works where
neither TensorFlow nor Keras is installed.
"""

from typing import TYPE_CHECKING

from keras_vrnn._lazy import names_of
from keras_vrnn._registration import register_when_keras_is_imported
from keras_vrnn._version import __version__ as __version__

if TYPE_CHECKING:
    from keras_vrnn import compression as compression
    from keras_vrnn import datasets as datasets
    from keras_vrnn import diagnostics as diagnostics
    from keras_vrnn import models as models
    from keras_vrnn import native as native
    from keras_vrnn import text as text
    from keras_vrnn import tflite as tflite
    from keras_vrnn import training as training
    from keras_vrnn.layers import Bidirectional as Bidirectional
    from keras_vrnn.layers import FastRNN as FastRNN
    from keras_vrnn.layers import FastRNNCell as FastRNNCell
    from keras_vrnn.layers import StackedVanillaRNN as StackedVanillaRNN
    from keras_vrnn.layers import VanillaRNN as VanillaRNN
    from keras_vrnn.layers import VanillaRNNCell as VanillaRNNCell
    from keras_vrnn.layers import backend_info as backend_info
    from keras_vrnn.layers import initializers as initializers
    from keras_vrnn.models import EncoderDecoder as EncoderDecoder
    from keras_vrnn.models import many_to_many as many_to_many
    from keras_vrnn.models import many_to_one as many_to_one
    from keras_vrnn.models import one_to_many as one_to_many
    from keras_vrnn.symbols import Symbols as Symbols
    from keras_vrnn.training import Model as Model
    from keras_vrnn.training import Sequential as Sequential
    from keras_vrnn.training import callbacks as callbacks
else:  # type checkers must not see a `__getattr__`: it would make every name valid
    __all__, __getattr__, __dir__ = names_of(
        __name__,
        {
            "Bidirectional": "keras_vrnn.layers",
            "EncoderDecoder": "keras_vrnn.models",
            "FastRNN": "keras_vrnn.layers",
            "FastRNNCell": "keras_vrnn.layers",
            "Model": "keras_vrnn.training",
            "Sequential": "keras_vrnn.training",
            "StackedVanillaRNN": "keras_vrnn.layers",
            "Symbols": "keras_vrnn.symbols",
            "VanillaRNN": "keras_vrnn.layers",
            "VanillaRNNCell": "keras_vrnn.layers",
            "backend_info": "keras_vrnn.layers",
            "callbacks": "keras_vrnn.training.callbacks",
            "compression": "keras_vrnn.compression",
            "datasets": "keras_vrnn.datasets",
            "diagnostics": "keras_vrnn.diagnostics",
            "initializers": "keras_vrnn.layers.initializers",
            "many_to_many": "keras_vrnn.models",
            "many_to_one": "keras_vrnn.models",
            "models": "keras_vrnn.models",
            "native": "keras_vrnn.native",
            "one_to_many": "keras_vrnn.models",
            "text": "keras_vrnn.text",
            "tflite": "keras_vrnn.tflite",
            "training": "keras_vrnn.training",
        },
    )
    __all__.insert(0, "__version__")

register_when_keras_is_imported()
