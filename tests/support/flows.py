"""Gradient flows with given numbers."""

import numpy as np

from keras_vrnn.diagnostics import GradientFlow
from keras_vrnn.diagnostics.flow import LayerFlow
from keras_vrnn.diagnostics.remedies import Traits


def layer_flow(decay, name="rnn", **options):
    """The flow through one layer: a loss that reads the last step alone, of a task that is not learned."""
    decay = np.asarray(decay, float)
    direct = np.zeros(len(decay))
    direct[0] = 1.0
    given = dict(
        name=name,
        norms=decay,
        direct=direct,
        decay=decay,
        amplification=decay.max(),
        relative_loss=1.0,
        floor=1e-38,
        traits=Traits("vanilla", "tanh"),
    )
    return LayerFlow(**given | options)


def gradient_flow_of(*layers, **options):
    return GradientFlow(layers, **{"loss": 0.5, "chance": 0.5, "sequences": 4} | options)
