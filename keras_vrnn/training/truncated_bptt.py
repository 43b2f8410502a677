"""Truncated back-propagation through time: a training step that goes through sequences window by window (TensorFlow).

    windows of k steps     [0, k), [k, 2k), …, and the rest
    states                 a window starts from the final states of the last one; no gradient goes back through them
    updates                one per window, with the gradient of that window's own loss

This is BPTT(k₁, k₂) of Sutskever (2013, section 2.8.6) with k₁ = k₂ = k. A window frees what it keeps for its
gradient, so memory does not grow with the length of the sequences.
"""

import contextlib

import keras
import tensorflow as tf

from keras_vrnn.layers.interception import recurrences_replaced, recurrent_layers
from keras_vrnn.training import truncated_bptt_checks as checks

_map = keras.tree.map_structure


class WindowLoop:
    """The loop over the windows of a batch.

    Args:
        model: The model, for its recurrent layers.
        steps: k, the time steps per window.
        data: (x, y, sample_weight) of tensors (batch, time, …).
        keep_outputs: Whether to join the outputs of all windows, which takes memory for whole sequences.

    Raises:
        ValueError: The model or the data cannot be cut into windows.
    """

    def __init__(self, model, steps, data, keep_outputs):
        checks.check_model(model, steps)
        self._layers = [layer for layer in recurrent_layers(model) if not layer.stateful]
        self._steps = steps
        self._data = data
        self._keep_outputs = keep_outputs
        self._length = checks.sequence_length(*self._data)

    @property
    def count(self):
        """Number of windows; None if the length is unknown while the step is traced."""
        return None if tf.is_tensor(self._length) else -(-self._length // self._steps)

    def check_outputs(self, x, outputs):
        """Raises unless a window has one output per time step."""
        checks.check_outputs(outputs, x)

    def learn(self, learn):
        """Runs `learn` on one window after the other.

        Args:
            learn: (x, y, sample_weight) → (outputs, loss); updates the weights.

        Returns:
            outputs: Outputs of all steps, with their masks; None without `keep_outputs`.
            loss: Mean over all steps that are not masked.
        """
        full = self._length // self._steps
        rest = self._length - full * self._steps
        # The first window stands outside the loop: layers start from their own states there, and its results have
        # the types that the loop carries.
        states, *first = self._one(learn, self._part(slice(0, self._steps)), None)
        results = [first]
        if tf.is_tensor(rest):
            states, *middle = self._loop(learn, full, states, first)
            results += [middle, self._rest_if_any(learn, tf.where(full > 0, rest, 0), states, first)]
        else:
            if full > 1:
                states, *middle = self._loop(learn, full, states, first)
                results.append(middle)
            if full and rest:
                results.append(self._one(learn, self._part(slice(full * self._steps, None)), states)[1:])
        losses, counts, outputs = zip(*results, strict=True)
        loss = tf.math.divide_no_nan(tf.add_n(losses), tf.add_n(counts))
        return (_joined(outputs) if self._keep_outputs else None), loss

    def _part(self, time):
        return _map(lambda t: None if t is None else t[:, time], self._data)

    def _one(self, learn, data, states):
        """→ [final states, loss · count, count, outputs] of one window."""
        with carried(self._layers, states) as final:
            outputs, loss = learn(*data)
        checks.check_all_carried(self._layers, final)
        count = tf.cast(_unmasked_steps(outputs), loss.dtype)
        states = [final[index] for index in range(len(self._layers))]
        return [states, loss * count, count, _with_masks(outputs) if self._keep_outputs else ()]

    def _loop(self, learn, full, states, like):
        """→ [final states, loss · count, count, outputs] of the windows 1 … full - 1."""
        steps = self._steps
        blocks = _map(lambda t: None if t is None else _in_blocks(t, full, steps), self._data)
        loss, count, outputs = like
        arrays = _map(lambda o: _array(o, steps, tf.maximum(full - 1, 0)), outputs)

        def body(i, states, loss, count, arrays):
            data = _map(lambda t: None if t is None else tf.gather(t, i, axis=1), blocks)
            new, more_loss, more_count, outputs = self._one(learn, data, states)
            # A batch size that is static in one place only would change the loop's shapes.
            _map(lambda state, first: state.set_shape(first.shape), new, states)
            arrays = _map(lambda array, output: array.write(i - 1, output), arrays, outputs)
            return i + 1, new, loss + more_loss, count + more_count, arrays

        start = (1, states, tf.zeros_like(loss), tf.zeros_like(count), arrays)
        _, states, loss, count, arrays = tf.while_loop(lambda i, *_: i < full, body, start)
        return [states, loss, count, _map(lambda array: _in_line(array.stack()), arrays)]

    def _rest_if_any(self, learn, rest, states, like):
        """→ [loss · count, count, outputs] of the last `rest` steps, zeros if there are none.

        XLA compiles both branches, whichever is taken, so neither may have zero steps, and their shapes must agree.
        """
        steps = tf.maximum(rest, 1)
        data = self._part(slice(self._length - steps, None))

        def none():
            loss, count, outputs = like
            shapes = _map(lambda o: tf.concat([tf.shape(o)[:1], [steps], tf.shape(o)[2:]], 0), outputs)
            zeros = _map(lambda o, shape: tf.zeros(shape, o.dtype), outputs, shapes)
            return [tf.zeros_like(loss), tf.zeros_like(count), zeros]

        loss, count, outputs = tf.cond(rest > 0, lambda: self._one(learn, data, states)[1:], none)
        return [loss, count, _map(lambda output: output[:, :rest], outputs)]


def with_weights_per_step(x, y, sample_weight):
    """Returns the data as tensors, with the weight of a sequence repeated for each of its steps.

    Left as they are, weights (batch,) would fail in Keras, or weight the time steps where k equals the batch size.

    Args:
        x, y, sample_weight: The data of a step. Weights have the shape (batch,) or (batch, 1) for whole sequences, and
            (batch, time, …) otherwise.
    """
    # Without a graph, Keras passes NumPy arrays.
    x, y, sample_weight = _map(
        lambda t: None if t is None else tf.convert_to_tensor(t), (x, y, sample_weight)
    )
    first = keras.tree.flatten(x)[0]
    shape = tf.stack([tf.shape(first)[0], first.shape[1] or tf.shape(first)[1]])

    def per_step(weight):
        # A function that has seen weights of both shapes is traced for an unknown rank.
        if weight is None or (weight.shape.rank == 2 and weight.shape[1] not in (1, None)):
            return weight
        if weight.shape.rank is not None and weight.shape.rank > 2:
            return weight
        return tf.broadcast_to(tf.reshape(weight, [shape[0], -1]), shape)

    return x, y, _map(per_step, sample_weight)


@contextlib.contextmanager
def carried(layers, states):
    """Makes recurrent layers start from given states, and collects their final states.

    Args:
        layers: The layers.
        states: A list of tensors per layer, or None: the layers then start from their own states.

    Yields:
        A dict that fills with the final states, a list of tensors, of each layer by its index.
    """
    final: dict[int, list] = {}
    index_of = {id(layer): index for index, layer in enumerate(layers)}

    def carry(layer, loop, sequences, initial_state, mask):
        index = index_of[id(layer)]
        checks.check_called_once(layer, index in final)
        if states is not None:
            initial_state = keras.tree.pack_sequence_as(initial_state, states[index])
        last, outputs, new = loop(sequences, initial_state, mask)
        final[index] = keras.tree.flatten(new)
        return last, outputs, new

    with recurrences_replaced(layers, carry):
        yield final


def _in_blocks(tensor, count, steps):
    """(batch, time, …) → (batch, blocks, steps, …), without the rest."""
    shape = tf.shape(tensor)
    blocks = tf.reshape(tensor[:, : count * steps], tf.concat([shape[:1], [count, steps], shape[2:]], 0))
    return tf.ensure_shape(blocks, [tensor.shape[0], None, steps, *tensor.shape[2:]])


def _array(like, steps, size):
    return tf.TensorArray(like.dtype, size, element_shape=[like.shape[0], steps, *like.shape[2:]])


def _in_line(blocks):
    """(blocks, batch, steps, …) → (batch, time, …)"""
    shape = tf.shape(blocks)
    blocks = tf.transpose(blocks, [1, 0, 2, *range(3, blocks.shape.rank)])
    return tf.reshape(blocks, tf.concat([shape[1:2], [shape[0] * shape[2]], shape[3:]], 0))


# Keras keeps the mask of a tensor as an attribute, which does not pass through a loop.


def _mask(output):
    return getattr(output, "_keras_mask", None)


def _unmasked_steps(outputs):
    outputs = keras.tree.flatten(outputs)
    masks = [mask for mask in map(_mask, outputs) if mask is not None]
    if masks:
        return tf.reduce_sum(tf.cast(masks[0], tf.int32))
    return tf.reduce_prod(tf.shape(outputs[0])[:2])


def _with_masks(outputs):
    masks = {i: _mask(output) for i, output in enumerate(keras.tree.flatten(outputs))}
    return outputs, {str(i): mask for i, mask in masks.items() if mask is not None}


def _joined(parts):
    outputs, masks = _map(lambda *tensors: tf.concat(tensors, axis=1), *parts)
    flat = keras.tree.flatten(outputs)
    for i, mask in masks.items():
        flat[int(i)]._keras_mask = mask
    return outputs
