"""Sequences longer than memory, window by window, for stateful layers.

A batch has `batch_size` rows. Row i continues where row i of the previous batch ended. When its sequence is over, it
starts the next sequence from zero states. Only a few batches are in memory at a time.
"""

import heapq
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn.layers.interception import recurrent_layers

if TYPE_CHECKING:
    import tensorflow as tf


class Window(NamedTuple):
    """The x of a batch of `windows`.

    Attributes:
        inputs: The model's input, (batch, steps, …).
        starts: Bool, (batch,). True where a row begins a sequence: its states are reset before the window.
    """

    inputs: Any
    starts: Any


def windows(
    x: Any, y: Any = None, sample_weight: Any = None, *, steps: int, batch_size: int
) -> "tf.data.Dataset":
    """Returns a `tf.data.Dataset` of contiguous windows for a model with stateful layers.

    `fit`, `evaluate` and `predict` of `kv.Model` and `kv.Sequential` reset the states of a row exactly where its
    sequence begins: all rows at the start of an epoch, and single rows where the next sequence begins. The model
    needs `keras.Input(batch_shape=(batch_size, None, features))` and layers with `stateful=True`.

    The last window of a sequence is padded with zeros of sample weight 0. They count in the divisor of the mean loss,
    as all weights do in Keras, and in `metrics`; `weighted_metrics` leave them out.

    Args:
        x: One long sequence, (time, …), which is cut into `batch_size` contiguous parts, one per row; or a list of
            sequences of any lengths, dealt to the rows in order. NumPy arrays, `np.memmap`, or any object with a shape
            and a dtype that returns arrays for slices, such as an h5py dataset.
        y: Targets for every time step, laid out like x; None for `predict`.
        sample_weight: Weights for every time step, (time,), laid out like x.
        steps: k, the time steps per window.
        batch_size: Number of rows.

    Returns:
        A dataset of (`Window`, y), or of (`Window`, y, sample_weight) with weights, whose cardinality is known.

    Raises:
        ValueError: An argument is out of its range, or the sequences do not fit together.

    Example::

        model = kv.Sequential([
            keras.Input(batch_shape=(32, None, 6)),
            kv.VanillaRNN(64, return_sequences=True, stateful=True),
            keras.layers.Dense(1),
        ])
        model.compile("adam", "mse")
        x = np.load("x.npy", mmap_mode="r")
        model.fit(kv.training.windows(x, y, steps=50, batch_size=32), shuffle=False)
    """
    import tensorflow as tf

    steps = checks.positive_int("steps", steps)
    batch_size = checks.positive_int("batch_size", batch_size)
    if y is None and sample_weight is not None:
        raise ValueError(
            "`sample_weight` needs targets `y`, because weights only affect the loss. Received: y=None"
        )
    columns = {"x": x, "y": y, "sample_weight": sample_weight}
    columns = {name: _sequences(name, c, batch_size) for name, c in columns.items() if c is not None}
    lengths = _lengths(columns)
    rows = _dealt_out(lengths, steps, batch_size)
    count = max(map(len, rows))
    is_padded = any(length % steps for length in lengths) or any(len(row) < count for row in rows)

    def batches():
        for i in range(count):
            places = [row[i] if i < len(row) else None for row in rows]
            cut = {name: _batch(sequences, places, steps) for name, sequences in columns.items()}
            starts = np.array([place is None or place[1] == 0 for place in places])
            element = [Window(cut["x"], starts)]
            if y is not None:
                element.append(cut["y"])
                if sample_weight is not None:  # padded with zeros
                    element.append(cut["sample_weight"])
                elif is_padded:
                    element.append(_is_there(lengths, places, steps))
            yield tuple(element)

    def signature(array):
        return tf.TensorSpec(array.shape, array.dtype)

    specs = tf.nest.map_structure(signature, next(batches()))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=specs)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(tf.data.AUTOTUNE)


def begin(model, data):
    """Resets the states of rows that begin a sequence; returns the data with the inputs in place of the `Window`."""
    bare = isinstance(data, Window) or not isinstance(data, tuple)
    x, *rest = (data,) if bare else data
    if not isinstance(x, Window):
        return data
    import tensorflow as tf

    layers = recurrent_layers(model)
    if not layers or not all(layer.stateful for layer in layers):
        raise ValueError(
            "A batch of kv.training.windows continues the previous one: all recurrent layers must have stateful=True. "
            f"Received: {[each.name for each in layers if not each.stateful] or 'no recurrent layer'} without it. "
            "For sequences that fit into memory, compile(truncate_steps=...) needs no stateful layers."
        )
    for layer in layers:
        if layer.go_backwards:
            raise ValueError(
                f"Layer {layer.name!r} reads windows from their end, but kv.training.windows come from the start of a "
                "sequence. Use a layer that only goes forward."
            )
        for state in keras.tree.flatten(layer.states or []):
            starts = tf.reshape(x.starts, [-1] + [1] * (len(state.shape) - 1))
            state.assign(tf.where(starts, tf.zeros_like(state.value), state.value))
    return (x.inputs, *rest)


def _sequences(name, column, batch_size):
    """Cuts one long sequence into `batch_size` parts; leaves a list as it is."""
    if isinstance(column, (list, tuple)):
        wrong = [type(s).__name__ for s in column if not hasattr(s, "shape") or not len(s.shape)]
        if wrong or not column:
            raise ValueError(
                f"`{name}` must be an array (time, …) or a list of such arrays. "
                f"Received: {f'a list of {wrong[0]}' if wrong else 'an empty list'}"
            )
        if len(column) < batch_size:
            raise ValueError(
                f"batch_size={batch_size} needs at least as many sequences in `{name}`. Received: {len(column)}. Use "
                "fewer rows, or give one long sequence as an array, which is cut into parts."
            )
        return list(column)
    if not hasattr(column, "shape") or not len(column.shape):
        raise ValueError(
            f"`{name}` must be an array (time, …) or a list of such arrays. Received: {name}={column!r}"
        )
    if len(column) < batch_size:
        raise ValueError(
            f"`{name}` must have at least batch_size={batch_size} time steps. Received: {len(column)}"
        )
    borders = [len(column) * i // batch_size for i in range(batch_size + 1)]
    return [_Part(column, start, stop) for start, stop in itertools.pairwise(borders)]


class _Part:
    """Steps start … stop of a sequence, read only when they are needed."""

    def __init__(self, sequence, start, stop):
        self._sequence, self._start = sequence, start
        self.shape, self.dtype = (stop - start, *sequence.shape[1:]), sequence.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, steps):
        return self._sequence[self._start + steps.start : self._start + min(steps.stop, len(self))]


def _lengths(columns):
    lengths = [len(sequence) for sequence in columns["x"]]
    if 0 in lengths:
        raise ValueError(f"`x` has an empty sequence, at index {lengths.index(0)}. Leave it out.")
    for name, sequences in columns.items():
        theirs = [len(sequence) for sequence in sequences]
        if theirs != lengths:
            i = next(
                (i for i, pair in enumerate(zip(theirs, lengths, strict=False)) if pair[0] != pair[1]), None
            )
            where = f"{len(theirs)} and {len(lengths)} sequences"
            if i is not None:
                where = f"{theirs[i]} and {lengths[i]} time steps in sequence {i}"
            raise ValueError(f"`{name}` must have the sequences and time steps of `x`. Received: {where}")
        shapes = {tuple(sequence.shape[1:]) for sequence in sequences}
        if len(shapes) > 1:
            raise ValueError(
                f"All sequences of `{name}` must have the same shape but for the time. Received: {sorted(shapes)}"
            )
    return lengths


def _dealt_out(lengths, steps, batch_size):
    """The windows of each row, as (sequence, first step): the next sequence goes to the row that is free first."""
    rows = [[] for _ in range(batch_size)]
    free = [(0, row) for row in range(batch_size)]
    for sequence, length in enumerate(lengths):
        _, row = heapq.heappop(free)
        rows[row] += [(sequence, start) for start in range(0, length, steps)]
        heapq.heappush(free, (len(rows[row]), row))
    return rows


def _batch(sequences, places, steps):
    first = sequences[0]
    dtype = np.dtype(keras.backend.floatx()) if np.issubdtype(first.dtype, np.floating) else first.dtype
    batch = np.zeros((len(places), steps, *first.shape[1:]), dtype)
    for row, place in enumerate(places):
        if place is not None:
            sequence, start = place
            window = sequences[sequence][start : start + steps]
            batch[row, : len(window)] = window
    return batch


def _is_there(lengths, places, steps):
    """Weights: 1 for steps of a sequence, 0 for padding."""
    left = [0 if place is None else lengths[place[0]] - place[1] for place in places]
    return np.float32(np.arange(steps) < np.reshape(left, (-1, 1)))
