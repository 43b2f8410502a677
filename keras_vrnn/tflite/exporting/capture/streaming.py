"""Turns a model for sequences into one that takes a few time steps, with its states as inputs and outputs.

Needs the TensorFlow backend.
"""

import dataclasses
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.layers.interception import recurrences_replaced
from keras_vrnn.models import structure
from keras_vrnn.tflite.exporting.capture.inputs import with_inputs
from keras_vrnn.tflite.exporting.capture.observation import zeroes_last
from keras_vrnn.tflite.exporting.recurrences import exported_layers
from keras_vrnn.tflite.reading import STATE_IN, STATE_OUT

# float32 rounding of two orders of summation, relative to the largest value of the output.
_TOLERANCE = 1e-4
_SAMPLES = 4  # random samples, in addition to the user's
_STEPS = (
    8  # where the model leaves the number of time steps open: enough to see a layer that looks around in time
)


def in_chunks(model, arrays, chunk=1):
    """Returns the model with a time axis of `chunk` steps, sharing all weights.

    The model with a time axis of one step, run step by step, is compared with the model on whole sequences.

    Args:
        model: The Keras model for sequences.
        arrays: Inputs (samples, T, ...) for the comparison, in addition to random ones.
        chunk: The number of steps.

    Raises:
        ValueError: The model can't run step by step, or then gives other outputs.
    """
    if any(array.ndim < 2 for array in arrays) or len({array.shape[1] for array in arrays}) > 1:
        raise _refused("inputs without a common time axis")
    for layer in exported_layers(model):
        if layer.go_backwards:
            raise _refused(
                f"layer {layer.name!r}, which goes backwards in time (as half of Bidirectional does)"
            )
    arrays = _telling(model, arrays)
    whole = [np.asarray(output) for output in keras.tree.flatten(structure.call(model, arrays))]
    try:
        with warnings.catch_warnings():  # Keras warns of a softmax over one step; the comparison decides
            warnings.simplefilter("ignore", UserWarning)
            step = _of_steps(model, 1)
            steps = _run_steps(step, arrays)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise _refused("a layer that needs more than one time step at once", f" ({error})") from error
    timesteps = arrays[0].shape[1]
    for expected, received in zip(whole, steps, strict=True):
        if not _agree(expected, received, timesteps):
            raise _refused(
                f"a model that, run step by step over {timesteps} steps, gives other outputs than on whole sequences: "
                "a layer looks back or ahead in time, such as a convolution or attention"
            )
    return step if chunk == 1 else _of_steps(model, chunk)


def _of_steps(model, steps):
    inputs = [
        keras.Input(batch_shape=(None, steps, *t.shape[2:]), dtype=t.dtype, name=t.name) for t in model.inputs
    ]
    return with_inputs(model, inputs)


def _refused(received, details=""):
    return ValueError(
        "`model` must give the same outputs when it runs one time step at a time. "
        f"Received: {received}. It can't be exported with form='streaming'; use form='sequence'.{details}"
    )


def _telling(model, arrays):
    """Adds random samples, half of them in the range of the user's data, which may be zeros, tiny or a single step."""
    rng = np.random.default_rng(0)
    timesteps = arrays[0].shape[1]
    is_open = all(tensor.shape[1] is None for tensor in model.inputs)
    keep = not is_open or timesteps >= _STEPS
    telling = []
    for array in arrays:
        shape = (_SAMPLES, timesteps if keep else _STEPS, *array.shape[2:])
        if array.dtype.kind == "f":
            drawn: np.ndarray = rng.normal(size=shape)
            spread = np.std(array, dtype=np.float64) or 1.0
            drawn[::2] = drawn[::2] * spread + np.mean(array, dtype=np.float64)
        else:  # 0 and 1 are tokens of any vocabulary
            drawn = rng.integers(min(0, int(array.min())), max(1, int(array.max())), shape, endpoint=True)
        random = drawn.astype(array.dtype)
        telling.append(np.concatenate([array, random]) if keep else random)
    return telling


def _agree(expected, received, timesteps):
    """Whether an output (samples, ...) on whole sequences equals the outputs of the steps, (T, samples, ...)."""
    per_step = expected.ndim > 1 and expected.shape[1] == timesteps and received.shape[2] == 1
    joined = np.concatenate(list(received), axis=1) if per_step else received[-1]
    if joined.shape != expected.shape:
        return False
    finite = np.isfinite(expected)  # an overflow shows nothing
    if not finite.any():
        return True
    error = np.abs(joined[finite].astype(np.float64) - expected[finite])
    return error.max() <= _TOLERANCE * np.abs(expected[finite]).max()


def _run_steps(step, arrays):
    """Runs the one-step model over time with its states; returns its outputs stacked, (T, samples, ...)."""

    @tf.function(autograph=False)
    def run(inputs, states):
        made = []

        def carry(layer, loop, sequences, initial_state, mask):
            current = states[len(made)] if states else initial_state
            _, _, new = loop(sequences, list(current), None)
            output = new[0]
            if mask is not None:  # Keras' loop returns zero for a first step that is masked, not the state
                new = [tf.where(mask, *pair) for pair in zip(new, current, strict=True)]
                zero = layer.zero_output_for_mask and layer.return_sequences
                output = tf.where(mask, new[0], 0.0) if zero or zeroes_last(layer) else new[0]
            made.append(list(new))
            return output, output[:, None], list(new)

        with recurrences_replaced(exported_layers(step), carry):
            outputs = structure.call(step, inputs)
        return keras.tree.flatten(outputs), made

    states, history = [], []
    for t in range(arrays[0].shape[1]):
        outputs, states = run([tf.constant(array[:, t : t + 1]) for array in arrays], states)
        history.append([np.asarray(output) for output in outputs])
    return [np.stack(outputs) for outputs in zip(*history, strict=True)]


def with_states(parts):
    """Returns a `Partition` in which every recurrence starts from the state that the last invoke left.

    Raises:
        ValueError: A recurrence takes its initial state from another part of the model.
    """
    states, recurrences = {}, []
    for recurrence in parts.recurrences:
        if any(state is not None for state in recurrence.initial_states):
            raise ValueError(
                "`model` must have recurrences that start from zero to run one time step at a time. Received: layer "
                f"{recurrence.layer!r}, which takes its initial state from another layer. Export the part from that "
                "layer on as a model of its own, or use form='sequence'."
            )
        several = len(parts.recurrences) > 1
        names = tuple(
            (f"{recurrence.name}_" if several else "") + (f"{state}_" if k else "") + STATE_IN
            for k, state in enumerate(recurrence.cell.states)
        )
        states |= {
            name: (recurrence.name, state, name.removesuffix(STATE_IN) + STATE_OUT)
            for name, state in zip(names, recurrence.cell.states, strict=True)
        }
        recurrences.append(dataclasses.replace(recurrence, initial_states=names))
    return dataclasses.replace(parts, states=states, recurrences=recurrences)


def with_own_states(parts, names):
    """Returns a `Partition` whose states are inputs and outputs of the model itself.

    Args:
        parts: The `Partition`.
        names: Input in which a state starts -> output that is its last value.
    """
    starts = {
        start: (recurrence.name, state)
        for recurrence in parts.recurrences
        for start, state in zip(recurrence.initial_states, recurrence.cell.states, strict=True)
    }
    return dataclasses.replace(parts, states={name: (*starts[name], last) for name, last in names.items()})
