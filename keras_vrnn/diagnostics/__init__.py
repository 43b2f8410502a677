"""Diagnosis: what the gradients of a recurrent network do, in numbers and pictures.

Names are loaded lazily, because the picture of norms needs neither TensorFlow nor Keras.
"""

from typing import TYPE_CHECKING

from keras_vrnn._lazy import names_of

if TYPE_CHECKING:
    from keras_vrnn.diagnostics.flow import GradientFlow as GradientFlow
    from keras_vrnn.diagnostics.flow_plot import plot_gradient_flow as plot_gradient_flow
    from keras_vrnn.diagnostics.jacobians import Spectrum as Spectrum
    from keras_vrnn.diagnostics.jacobians import spectrum as spectrum
    from keras_vrnn.diagnostics.probe import FlowProbe as FlowProbe
    from keras_vrnn.diagnostics.probe import gradient_flow as gradient_flow
    from keras_vrnn.diagnostics.unrolled import Unrolled as Unrolled
    from keras_vrnn.diagnostics.unrolled import unroll as unroll
    from keras_vrnn.diagnostics.verdict import Verdict as Verdict
else:  # type checkers must not see a `__getattr__`: it would make every name valid
    __all__, __getattr__, __dir__ = names_of(
        __name__,
        {
            "FlowProbe": "keras_vrnn.diagnostics.probe",
            "GradientFlow": "keras_vrnn.diagnostics.flow",
            "Spectrum": "keras_vrnn.diagnostics.jacobians",
            "Unrolled": "keras_vrnn.diagnostics.unrolled",
            "Verdict": "keras_vrnn.diagnostics.verdict",
            "gradient_flow": "keras_vrnn.diagnostics.probe",
            "plot_gradient_flow": "keras_vrnn.diagnostics.flow_plot",
            "spectrum": "keras_vrnn.diagnostics.jacobians",
            "unroll": "keras_vrnn.diagnostics.unrolled",
        },
    )
