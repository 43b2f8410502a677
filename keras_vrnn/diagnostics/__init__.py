"""Diagnosis: what the gradients of a recurrent network do, in figures and pictures.

Names are handed on lazily: pictures of norms need neither TensorFlow nor Keras.
"""

import importlib

_EXPORTS = {
    "FlowProbe": "keras_vrnn.diagnostics.probe",
    "GradientFlow": "keras_vrnn.diagnostics.flow",
    "Spectrum": "keras_vrnn.diagnostics.jacobians",
    "Verdict": "keras_vrnn.diagnostics.verdict",
    "gradient_flow": "keras_vrnn.diagnostics.flow",
    "plot_gradient_flow": "keras_vrnn.diagnostics.flow_plot",
    "spectrum": "keras_vrnn.diagnostics.jacobians",
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
