"""A model that takes one time step an invoke: its state goes in and comes out.

Needs the TensorFlow backend.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.layers.interception import recurrences_replaced, vanilla_layers
from keras_vrnn.tflite.exporting.capture import structure
from keras_vrnn.tflite.exporting.capture.inputs import with_inputs
from keras_vrnn.tflite.exporting.capture.observation import zeroes_last
from keras_vrnn.tflite.running.runner import STATE_IN

# float32 rounding of two orders of summation, relative to the largest value of the output.
_TOLERANCE = 1e-4
_SAMPLES = 4  # random ones, beside the user's
_STEPS = 8  # where the model leaves the number of time steps open; enough to look around in


def one_step(model, arrays):
    """Returns the model with a time axis of one step, sharing all weights.

    Args:
        model: the Keras model for sequences.
        arrays: inputs (samples, T, ...), on which stepping is compared with the whole sequence, as on random ones.

    Raises:
        ValueError: the model can't be run step by step, or gives something else then.
    """
    reason = "so that it can't be exported with form='streaming'; use form='sequence'."
    if any(array.ndim < 2 for array in arrays) or len({array.shape[1] for array in arrays}) > 1:
        raise ValueError(f"model: its inputs have no time axis in common, {reason}")
    for layer in vanilla_layers(model):
        if layer.go_backwards:
            raise ValueError(
                f"model: layer {layer.name!r} goes backwards in time, as one direction of Bidirectional does, {reason}"
            )
    inputs = [
        keras.Input(batch_shape=(None, 1, *t.shape[2:]), dtype=t.dtype, name=t.name) for t in model.inputs
    ]
    arrays = _telling(model, arrays)
    try:
        step = with_inputs(model, inputs)
        whole = [np.asarray(output) for output in keras.tree.flatten(structure.call(model, arrays))]
        steps = _run_steps(step, arrays)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            f"model: a layer needs more than one time step at once, {reason} ({error})"
        ) from error
    timesteps = arrays[0].shape[1]
    for expected, received in zip(whole, steps, strict=True):
        if not _agree(expected, received, timesteps):
            raise ValueError(
                f"model: run one step at a time over {timesteps} steps, it gives other outputs than on the whole "
                f"sequence (a layer looks back or ahead in time, such as a convolution or attention), {reason}"
            )
    return step


def _telling(model, arrays):
    """Adds random samples in the range of the user's, which may hold zeros only, or a single step."""
    rng = np.random.default_rng(0)
    timesteps = arrays[0].shape[1]
    is_open = all(tensor.shape[1] is None for tensor in model.inputs)
    keep = not is_open or timesteps >= _STEPS
    telling = []
    for array in arrays:
        shape = (_SAMPLES, timesteps if keep else _STEPS, *array.shape[2:])
        if array.dtype.kind == "f":
            spread = float(np.std(array, dtype=np.float64)) or 1.0
            drawn: np.ndarray = rng.normal(np.mean(array, dtype=np.float64), spread, shape)
        else:  # 0 and 1 are tokens of any vocabulary
            drawn = rng.integers(min(0, int(array.min())), max(1, int(array.max())), shape, endpoint=True)
        random = drawn.astype(array.dtype)
        telling.append(np.concatenate([array, random]) if keep else random)
    return telling


def _agree(expected, received, timesteps):
    """Whether an output (samples, ...) of whole sequences is what the steps gave, (T, samples, ...)."""
    per_step = expected.ndim > 1 and expected.shape[1] == timesteps and received.shape[2] == 1
    joined = np.concatenate(list(received), axis=1) if per_step else received[-1]
    if joined.shape != expected.shape:
        return False
    finite = np.isfinite(expected)  # what overflows shows nothing
    if not finite.any():
        return True
    error = np.abs(joined[finite].astype(np.float64) - expected[finite])
    return error.max() <= _TOLERANCE * np.abs(expected[finite]).max()


def _run_steps(step, arrays):
    """Runs the one-step model over time, carrying the states; returns its outputs stacked, (T, samples, ...)."""

    @tf.function(autograph=False)
    def run(inputs, states):
        made = []

        def carry(layer, loop, sequences, initial_state, mask):
            (state,) = states[len(made)] if states else initial_state
            _, _, (new,) = loop(sequences, [state], None)
            output = new
            if mask is not None:  # Keras' loop takes the output of a first step for zero where it is masked
                new = tf.where(mask, new, state)
                zero = layer.zero_output_for_mask and layer.return_sequences
                output = tf.where(mask, new, 0.0) if zero or zeroes_last(layer) else new
            made.append([new])
            return output, output[:, None], [new]

        with recurrences_replaced(vanilla_layers(step), carry):
            outputs = structure.call(step, inputs)
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
        final = recurrence.final or f"{recurrence.name}/final"
        states[f"{prefix}{STATE_IN}"] = final
        recurrences.append(dataclasses.replace(recurrence, initial_state=f"{prefix}{STATE_IN}", final=final))
    return dataclasses.replace(parts, states=states, recurrences=recurrences)
