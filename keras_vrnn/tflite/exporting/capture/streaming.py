"""A model that takes one time step an invoke: its state goes in and comes out.

Needs the TensorFlow backend.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.layers.interception import recurrences_replaced, vanilla_layers
from keras_vrnn.tflite.exporting.capture.inputs import with_inputs
from keras_vrnn.tflite.running.runner import STATE_IN

# float32 rounding of two orders of summation, relative to the largest output.
_TOLERANCE = 1e-4


def one_step(model, arrays):
    """Returns the model with a time axis of one step, sharing all weights.

    Args:
        model: the Keras model for sequences.
        arrays: inputs (samples, T, ...), on which stepping is compared with the whole sequence.

    Raises:
        ValueError: the model can't be run step by step, or gives something else then.
    """
    reason = "so that it can't be exported with form='streaming'; use form='sequence'."
    if any(array.ndim < 2 for array in arrays) or len({array.shape[1] for array in arrays}) > 1:
        raise ValueError(f"model: its inputs have no time axis in common, {reason}")
    inputs = [
        keras.Input(batch_shape=(None, 1, *t.shape[2:]), dtype=t.dtype, name=t.name) for t in model.inputs
    ]
    try:
        step = with_inputs(model, inputs)
        whole = _outputs(model, arrays)
        steps = _run_steps(step, arrays)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            f"model: a layer needs more than one time step at once, {reason} ({error})"
        ) from error
    timesteps = arrays[0].shape[1]
    for expected, received in zip(whole, steps, strict=True):
        per_step = expected.shape[1] == timesteps and received.shape[2] == 1
        joined = np.concatenate(list(received), axis=1) if per_step else received[-1]
        close = joined.shape == expected.shape and np.abs(joined - expected).max() <= _TOLERANCE * max(
            1.0, np.abs(expected).max()
        )
        if not close:
            raise ValueError(
                f"model: run one step at a time over {timesteps} steps, it gives other outputs than on the whole "
                f"sequence (a layer looks back or ahead in time, such as a convolution or Bidirectional), {reason}"
            )
    return step


def _outputs(model, arrays):
    made = model(arrays if len(arrays) > 1 else arrays[0], training=False)
    return [np.asarray(output) for output in keras.tree.flatten(made)]


def _run_steps(step, arrays):
    """Runs the one-step model over time, carrying the states; returns its outputs stacked, (T, samples, ...)."""

    @tf.function(autograph=False)
    def run(inputs, states):
        made = []

        def carry(layer, loop, sequences, initial_state, mask):
            last, outputs, new = loop(sequences, states[len(made)] if states else initial_state, mask)
            made.append(new)
            return last, outputs, new

        with recurrences_replaced(vanilla_layers(step), carry):
            outputs = step(inputs if len(inputs) > 1 else inputs[0], training=False)
        return keras.tree.flatten(outputs), made

    states, history = [], []
    for t in range(arrays[0].shape[1]):
        outputs, states = run([tf.constant(array[:, t : t + 1]) for array in arrays], states)
        history.append([np.asarray(output) for output in outputs])
    return [np.stack(outputs) for outputs in zip(*history, strict=True)]


def with_states(parts):
    """Lets every recurrence of a `Partition` start from a state that the invoke before left.

    Raises:
        ValueError: a recurrence takes its first state from elsewhere in the model.
    """
    states, recurrences = {}, []
    for recurrence in parts.recurrences:
        if recurrence.initial_state is not None:
            raise ValueError(
                f"model: layer {recurrence.layer!r} takes its initial state from another layer, which one step can't; "
                "export the part from that layer on as a model of its own, or use form='sequence'."
            )
        prefix = f"{recurrence.name}_" if len(parts.recurrences) > 1 else ""
        final = recurrence.final or f"{recurrence.name}_final"
        states[f"{prefix}{STATE_IN}"] = final
        recurrences.append(dataclasses.replace(recurrence, initial_state=f"{prefix}{STATE_IN}", final=final))
    return dataclasses.replace(parts, states=states, recurrences=recurrences)
