"""Diagnosis: what the gradients of a recurrent network do, in numbers and pictures.

Names are loaded lazily, because the picture of norms needs neither TensorFlow nor Keras.
"""

from keras_vrnn._lazy import names_of

_EXPORTS = {
    "FlowProbe": "keras_vrnn.diagnostics.probe",
    "GradientFlow": "keras_vrnn.diagnostics.flow",
    "Spectrum": "keras_vrnn.diagnostics.jacobians",
    "Verdict": "keras_vrnn.diagnostics.verdict",
    "gradient_flow": "keras_vrnn.diagnostics.probe",
    "plot_gradient_flow": "keras_vrnn.diagnostics.flow_plot",
    "spectrum": "keras_vrnn.diagnostics.jacobians",
}

__all__, __getattr__, __dir__ = names_of(__name__, _EXPORTS)
