"""Names that a streaming file keeps for its states.

Needs the TensorFlow backend.
"""

from keras_vrnn.models import structure
from keras_vrnn.tflite.running.runner import STATE_IN, STATE_OUT


def check_names(model, streaming):
    """Refuses names of inputs and outputs that are reserved for the states of a streaming file.

    Raises:
        ValueError: An input or output has such a name.
    """
    inputs = structure.input_names(model)
    outputs = structure.output_names(model, structure.output_structure(model), inputs) if streaming else []
    for kind, names, ending in (("input", inputs, STATE_IN), ("output", outputs, STATE_OUT)):
        for name in names:
            if name.endswith(ending):
                raise ValueError(
                    f"`model` must have no {kind} with a name that ends in {ending!r}, which marks a state of a "
                    f"streaming file. Received: {name!r}. Rename the "
                    f"{'keras.Input' if kind == 'input' else 'layer or key'}."
                )
