"""Measures the gradient flow of a model, repeatedly with one compiled program (TensorFlow)."""

import contextlib
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.diagnostics import broken, losses, recurrences, remedies
from keras_vrnn.diagnostics.flow import GradientFlow, LayerFlow
from keras_vrnn.layers.interception import recurrent_layers


def gradient_flow(model: keras.Model, x: Any, y: Any, loss: Any = None) -> GradientFlow:
    """Measures how far back a recurrent network learns: ‖∂L/∂h_t‖ for every recurrent layer and time step.

    ∂L/∂h_t is the total derivative of the loss by the state h_t: through the output at t and through all later steps
    (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", equations 3 to 5). The
    two parts are separated: horizon and verdict are about what the recurrence carries back from the last step alone, so
    that a loss that reads an early step more than the last does not look like an exploding gradient.

    Covers vanilla RNNs, LSTMs, GRUs, both directions of `Bidirectional`, stacks, cells of `RNN([cells])` and nested
    models. Dropout is off; weights and states stay as they are. Memory grows linearly with batch, steps and units: 32
    sequences of 4,000 steps through 64 units take about 0.7 GB. A few dozen sequences are enough.

    Args:
        model: a Keras model with recurrent layers, on the TensorFlow backend.
        x: inputs as for `fit`: an array, or a list or dict of arrays, batch first.
        y: targets as for `fit`.
        loss: name, `keras.losses.Loss` or function (y_true, y_pred) → losses, for a model with one output; by default
            the loss that the model was compiled with.

    Returns:
        A `GradientFlow`.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: There is no loss or no recurrent layer, or x and y differ in length.
        RuntimeError: The Keras backend is not TensorFlow.

    Examples:
        >>> model = keras.Sequential([keras.Input((30, 3)), kv.VanillaRNN(8), keras.layers.Dense(1)])
        >>> x, y = np.ones((4, 30, 3), "float32"), np.ones((4, 1), "float32")
        >>> flow = kv.diagnostics.gradient_flow(model, x, y, loss="mse")
        >>> list(flow.norms.values())[0].shape
        (30,)
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"gradient_flow needs the TensorFlow backend of Keras, received {keras.backend.backend()!r}. Set "
            "KERAS_BACKEND=tensorflow; a saved model loads there."
        )
    return FlowProbe(model, loss).measure(x, y)


class FlowProbe:
    """Measures `gradient_flow` of one model repeatedly; arguments and errors as there.

    The program is traced at the first batch of a shape and reads the current weights, so that training may go on
    between two measurements.
    """

    def __init__(self, model: keras.Model, loss: Any = None) -> None:
        if not isinstance(model, keras.Model):
            raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")
        if not recurrent_layers(model):
            raise ValueError(
                f"model {model.name!r} has no recurrent layer (keras.layers.RNN or a subclass, such as kv.VanillaRNN): "
                "there is no flow through time to measure."
            )
        self._model = model
        self._loss = losses.loss_of(model, loss)
        self._has_penalties = loss is None
        # Keras does not need AutoGraph, whose conversion of its code is slow.
        self._run = tf.function(self._trace, autograph=False)
        self._found: list[tuple[str, Any, Any, bool]] = []  # of the latest trace

    def measure(self, x: Any, y: Any) -> GradientFlow:
        """Returns the `GradientFlow` of a batch."""
        if y is None:
            raise ValueError(
                "`y` must be the targets, an array with a row for each sequence. Received: y=None"
            )
        x, y = (keras.tree.map_structure(tf.convert_to_tensor, value) for value in (x, y))
        _check_batch(x, y)
        if not self._model.built:
            self._model(x, training=False)
        with states_restored(self._model):
            # The concrete function: tf.function itself warns of retracing from the fifth model on.
            (loss, penalties, chance), arrays = self._run.get_concrete_function(x, y)(x, y)
        loss, penalties, chance = float(loss), float(penalties), float(chance)
        relative = _relative(loss - penalties, chance - penalties)
        clips = remedies.clips_gradients(self._model)
        layers = tuple(
            _layer_flow(
                name,
                layer,
                remedies.traits_of(cell, clips, per_step),
                relative,
                *(array.numpy() for array in mine),
            )
            for (name, layer, cell, per_step), mine in zip(self._found, arrays, strict=True)
        )
        is_finite = math.isfinite(loss) and all(np.isfinite(layer.decay).all() for layer in layers)
        names = broken.weights(self._model) + (() if is_finite else broken.data(x, y))
        sequences = int(keras.tree.flatten(x)[0].shape[0])
        return GradientFlow(layers, loss, chance - penalties, sequences, names)

    def _trace(self, x, y):
        with (
            tf.GradientTape(persistent=True) as tape,
            recurrences.opened(self._model, tape.watch) as found,
        ):
            outputs = self._model(x, training=False)
            self._check_found(found)
            loss = self._loss(x, y, outputs)
        penalties = self._model.losses if self._has_penalties else []
        sums = (
            loss,
            tf.add_n([tf.cast(penalty, loss.dtype) for penalty in penalties]) if penalties else 0.0,
            losses.by_chance(self._loss, x, y, outputs),
        )
        sources = [(one.probes, [] if one.outputs is None else one.outputs) for one in found]
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        arrays = [_arrays(tape, one, *mine) for one, mine in zip(found, gradients, strict=True)]
        steps = losses.target_steps(y, outputs)
        # The tensors belong to this trace and are not kept.
        self._found = [
            (one.name, one.layer, one.cell, steps is not None and one.sequences.shape[1] == steps)
            for one in found
        ]
        return sums, arrays

    def _check_found(self, found):
        if not found:
            raise ValueError(
                f"model {self._model.name!r} calls none of its recurrent layers on (batch, time, features)."
            )
        for recurrence in found:
            if recurrence.probes.graph is not tf.compat.v1.get_default_graph():
                raise ValueError(
                    f"layer {recurrence.name!r} is called inside a loop or function of another layer, where its "
                    "states cannot be reached. Measure a model of that layer alone."
                )


def _arrays(tape, recurrence, by_probes, by_output):
    """Five arrays (batch, steps), in the order of processing.

    ‖∂L/∂h_t‖; its direct part; what the recurrence carries back of a unit gradient that enters at the last step read;
    which steps are not masked; and which of them come no later than that last step.
    """
    by_state = _by_state(recurrence, by_probes)
    by_h = by_state[..., : recurrence.final_states[0].shape[-1]]
    if recurrence.output is not None:
        direct = _processed(recurrence, _float64(by_probes[..., recurrence.output]))
    elif recurrence.outputs is not None:
        direct = _float64(by_output)
    else:
        direct = tf.zeros_like(by_h)
    valid = tf.ones(tf.shape(by_h)[:2], tf.bool) if recurrence.mask is None else recurrence.mask
    valid = _processed(recurrence, valid)
    end = _last(valid)
    is_end = tf.range(tf.shape(valid)[1]) == end[:, tf.newaxis]
    # No step follows the last one, whose final state may be read too: all of its gradient is direct.
    direct = tf.where(is_end[..., tf.newaxis], by_h, direct)

    norms = tf.norm(by_state, axis=-1)
    read = valid & ~(norms == 0)  # NaN counts as read
    last = _last(read)
    seed = tf.gather(by_state, last, axis=1, batch_dims=1)
    carried, last = _carried(tape, recurrence, seed, last, end)
    counts = valid & (tf.range(tf.shape(valid)[1]) <= last[:, tf.newaxis])
    counts &= tf.reduce_any(read, axis=1, keepdims=True)  # a sequence without a gradient shows nothing
    return [tf.norm(by_h, axis=-1), tf.norm(direct, axis=-1), carried, valid, counts]


def _carried(tape, recurrence, seed, last, end):
    """‖∂(seed·s_last)/∂s_t‖, the seed scaled to norm 1; and the step where it enters.

    The last step whose state has a gradient is read directly. If that is the end of the sequence, the seed enters at
    the final states. Else it enters through the output of that step: the loss can read it only if the layer returns it.
    """
    size = tf.linalg.norm(seed, axis=-1, keepdims=True)
    # A loss that is NaN has no direction; the recurrence is judged by another one.
    anything = tf.ones_like(seed) / tf.sqrt(tf.cast(tf.shape(seed)[1], tf.float64))
    seed = tf.where(tf.math.is_finite(size) & (size > 0), seed / size, anything)
    sizes = [state.shape[-1] for state in recurrence.final_states]
    states = tf.split(seed, sizes, axis=-1)
    targets = list(recurrence.final_states)
    if recurrence.outputs is None:
        last = end
    else:
        at_end = (last == end)[:, tf.newaxis]
        steps = tf.shape(recurrence.outputs)[1]
        at_last = tf.one_hot(last, steps, dtype=tf.float64)[..., tf.newaxis]
        targets.append(recurrence.outputs)
        through_output = tf.where(at_end, tf.zeros_like(states[0]), states[0])
        states = [tf.where(at_end, state, tf.zeros_like(state)) for state in states]
        states.append(at_last * through_output[:, tf.newaxis])
    seeds = [tf.cast(state, target.dtype) for state, target in zip(states, targets, strict=True)]
    gradient = tape.gradient(targets, recurrence.probes, seeds, unconnected_gradients="zero")
    return tf.norm(_by_state(recurrence, gradient), axis=-1), last


def _by_state(recurrence, gradient):
    """The derivative by the whole state, in the order of processing."""
    return _processed(recurrence, _float64(gradient[..., recurrence.state]))


def _float64(tensor):
    """As float64: the square of 1e-30 is not a float32."""
    return tf.cast(tensor, tf.float64)


def _processed(recurrence, by_time):
    return tf.reverse(by_time, [1]) if recurrence.layer.go_backwards else by_time


def _last(flags):
    """Index of the last True of each row, of the last step if there is none."""
    steps = tf.shape(flags)[1]
    return steps - 1 - tf.argmax(tf.cast(tf.reverse(flags, [1]), tf.int32), axis=1, output_type=tf.int32)


def _layer_flow(name, layer, traits, relative_loss, by_h, direct, carried, valid, counts):
    norms = np.sqrt((by_h**2).sum(axis=0))
    norms[~valid.any(axis=0)] = np.nan
    reads, total, decay = (steps_back(part, counts) for part in (direct, by_h, carried))
    # NaN where the loss is; nothing relative to it then.
    has_reads = bool(0 < reads.max(initial=0.0) < math.inf)
    return LayerFlow(
        name=name,
        norms=norms,
        direct=reads / reads.max() if has_reads else np.zeros_like(reads),
        decay=decay / decay[0] if decay[0] > 0 else decay,  # the seed's norm is 1 up to rounding
        amplification=float(total.max() / reads.max()) if has_reads else math.inf,
        relative_loss=relative_loss,
        floor=float(np.finfo(_FLOORS.get(layer.compute_dtype, layer.compute_dtype)).tiny),
        traits=traits,
    )


def steps_back(norms: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The norms k steps before the last step of each sequence that counts, over all sequences.

    Args:
        norms: (batch, steps) norms by sequence, in the order of processing.
        counts: (batch, steps) bool, False at steps that are left out.

    Returns:
        (steps of the longest sequence,): root mean square over the sequences that have that many steps. Zeros for all
        steps if none counts.
    """
    lengths = counts.sum(axis=1)
    if not lengths.any():
        return np.zeros(norms.shape[1])
    squares = np.zeros(lengths.max())
    for row, counting in zip(norms, counts, strict=True):
        back = row[counting][::-1]
        with np.errstate(over="ignore"):  # an exploding gradient
            squares[: len(back)] += back**2
    sequences = (lengths[:, None] > np.arange(len(squares))).sum(axis=0)
    return np.sqrt(squares / sequences)


# NumPy lacks bfloat16, whose exponents are those of float32.
_FLOORS = {"bfloat16": "float32"}


def _relative(loss, chance):
    """The loss relative to chance; NaN where there is no such ratio, as with a loss that may be negative."""
    return loss / chance if chance > 0 and loss >= 0 else math.nan


def _check_batch(x, y):
    sizes = {int(leaf.shape[0]) if leaf.shape.rank else None for leaf in keras.tree.flatten((x, y))}
    if len(sizes) != 1 or not all(sizes):
        shapes = [tuple(leaf.shape) for leaf in keras.tree.flatten((x, y))]
        raise ValueError(
            f"`x` and `y` must have the same number of sequences, 1 or more. Received shapes: {shapes}"
        )


@contextlib.contextmanager
def states_restored(model):
    """Gives stateful layers of a model the states back that they had before the block."""
    layers = [layer for layer in recurrent_layers(model) if layer.states is not None]
    before = [[tf.identity(state.value) for state in keras.tree.flatten(layer.states)] for layer in layers]
    try:
        yield
    finally:
        for layer, values in zip(layers, before, strict=True):
            for state, value in zip(keras.tree.flatten(layer.states), values, strict=True):
                state.assign(value)
