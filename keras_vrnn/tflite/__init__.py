"""Export to TFLite, and running what was exported.

Names are handed on lazily: `Runner` needs neither TensorFlow nor Keras.
"""

import importlib

_EXPORTS = {
    "ExportResult": "keras_vrnn.tflite.conversion",
    "Runner": "keras_vrnn.tflite.runtime",
    "Verification": "keras_vrnn.tflite.verification",
    "export": "keras_vrnn.tflite.conversion",
    "verify": "keras_vrnn.tflite.verification",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
