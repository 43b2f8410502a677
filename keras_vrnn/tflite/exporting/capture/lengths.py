"""The number of time steps of a file, where the model leaves it open: another one than the data has, or any.

Needs the TensorFlow backend.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.models import structure
from keras_vrnn.tflite.exporting.capture.observation import observe


def timed_inputs(model):
    """Returns the names of the inputs whose time axis, the second, has no defined length."""
    pairs = zip(structure.input_names(model), model.inputs, strict=True)
    return [name for name, tensor in pairs if len(tensor.shape) > 1 and tensor.shape[1] is None]


def check(model, options):
    """Refuses a number of time steps for a model that has its own.

    Raises:
        ValueError: The model leaves no time dimension open.
    """
    if options.timesteps != "data" and not timed_inputs(model):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in model.inputs)
        raise ValueError(
            "`timesteps` must be left out for a model whose inputs have a defined number of time steps. "
            f"Received: timesteps={options.timesteps!r} and inputs of shape {shapes}. Build the model on "
            "keras.Input((None, features))."
        )


def of_length(model, arrays, length):
    """Returns the data with `length` steps in every input whose time axis is open; None leaves it as it is."""
    if length is None:
        return arrays
    timed = timed_inputs(model)
    pairs = list(zip(structure.input_names(model), arrays, strict=True))
    steps = {array.shape[1] for name, array in pairs if name in timed}
    if len(steps) > 1:
        raise ValueError(
            "`calibration_data` must have one number of time steps for all inputs whose time dimension is undefined. "
            f"Received: {sorted(steps)}."
        )
    return list(resized(dict(pairs), set(timed), length).values())


def whole_chunks(model, arrays, chunk):
    """Returns the data with a whole number of chunks of steps.

    Raises:
        ValueError: The model's number of time steps is not a multiple of `chunk`.
    """
    for tensor in model.inputs:
        own = tensor.shape[1] if len(tensor.shape) > 1 else None
        if own is not None and own % chunk:
            raise ValueError(
                f"`chunk` must divide the model's number of time steps, {own}. Received: chunk={chunk}. Build the "
                "model on keras.Input((None, features)) to choose any."
            )
    kept = [max(array.shape[1] // chunk, 1) * chunk if array.ndim > 1 else 0 for array in arrays]
    return [array if not n else windows_of(array, n) for array, n in zip(arrays, kept, strict=True)]


def resized(values, timed, length, backwards=()):
    """Returns named values, of which `timed` are (samples, T, ...), with `length` steps, and as many more samples.

    Those in `backwards` hold the last step first.
    """
    windows = {}
    for name in values.keys() & timed:
        turn = slice(None, None, -1 if name in backwards else 1)
        windows[name] = windows_of(values[name][:, turn], length)[:, turn]
    count = max((len(w) // len(values[name]) for name, w in windows.items()), default=1)
    return {name: windows.get(name, np.repeat(value, count, axis=0)) for name, value in values.items()}


def windows_of(array, length):
    """Returns (samples, T, ...) as (samples · windows, length, ...).

    The windows cover all steps. If there are fewer steps than a window has, they are repeated.
    """
    timesteps = array.shape[1]
    starts = list(range(0, max(timesteps - length, 0) + 1, length))
    if timesteps > length and timesteps % length:
        starts.append(timesteps - length)
    steps = (np.array(starts)[:, None] + np.arange(length)) % timesteps
    return array[:, steps].reshape(-1, length, *array.shape[2:])


def with_open_length(parts, model, arrays):
    """Returns a `Partition` that names what becomes longer with the inputs.

    The model runs with one more step, which shows it.

    Args:
        parts: the `Partition` of the model.
        model: the Keras model.
        arrays: data of the length of the partition.

    Raises:
        ValueError: a recurrence or an output is neither as long as the inputs nor of a fixed length.
    """
    timed = timed_inputs(model)
    length = next(a.shape[1] for name, a in zip(parts.inputs, arrays, strict=True) if name in timed)
    sample = [array[:1] for array in arrays]
    shapes = _output_shapes(model, sample)
    longer = of_length(model, sample, length + 1)
    try:
        calls, longer_shapes = observe(model, longer), _output_shapes(model, longer)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise _refused(f"a model that takes {length} steps, but not {length + 1} ({error})") from error
    if [call.layer.name for call in calls] != [recurrence.layer for recurrence in parts.recurrences]:
        raise _refused("a model that calls other layers for other numbers of steps")
    recurrences = [
        dataclasses.replace(
            recurrence,
            follows_inputs=_follows(
                f"layer {recurrence.layer!r}", length, recurrence.timesteps, call.x.shape[1]
            ),
        )
        for recurrence, call in zip(parts.recurrences, calls, strict=True)
    ]
    outputs = [
        name
        for name, now, then in zip(parts.outputs, shapes, longer_shapes, strict=True)
        if now != then and _follows(f"output {name!r}", length, now[1], then[1])
    ]
    return dataclasses.replace(parts, recurrences=recurrences, timed=frozenset([*timed, *outputs]))


def _follows(what, length, steps, longer_steps):
    if steps == longer_steps:
        return False
    if (steps, longer_steps) == (length, length + 1):
        return True
    raise _refused(f"{what}, which has {steps} time steps where the inputs have {length}")


def _output_shapes(model, sample):
    return [output.shape for output in keras.tree.flatten(structure.call(model, sample))]


def _refused(received):
    return ValueError(
        "`timesteps` must be left out for a model in which not every time axis is as long as that of the inputs. "
        f"Received: {received}."
    )
