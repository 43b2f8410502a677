"""Names that a file keeps for its states and its length.

Needs the TensorFlow backend.
"""

from keras_vrnn.models import structure
from keras_vrnn.tflite.reading import LENGTH, STATE_IN, STATE_OUT


def check_names(model, options):
    """Refuses names of inputs and outputs that are reserved for the states of a streaming file, or for the length.

    Raises:
        ValueError: An input or output has such a name.
    """
    inputs = structure.input_names(model)
    if options.any_length and LENGTH in inputs:
        raise ValueError(
            f"`model` must have no input called {LENGTH!r} with timesteps=None, whose file has an input of that name "
            "for the number of steps. Rename the keras.Input."
        )
    streaming = options.streaming
    outputs = structure.output_names(model, structure.output_structure(model), inputs) if streaming else []
    for kind, names, ending in (("input", inputs, STATE_IN), ("output", outputs, STATE_OUT)):
        for name in names:
            if name.endswith(ending):
                raise ValueError(
                    f"`model` must have no {kind} with a name that ends in {ending!r}, which marks a state of a "
                    f"streaming file. Received: {name!r}. Rename the "
                    f"{'keras.Input' if kind == 'input' else 'layer or key'}."
                )
