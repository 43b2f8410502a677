"""The data of whole epochs: arrays on the device, handed to Keras' `fit` in windows of many batches (TensorFlow).

Keras' own pipeline for arrays (3.15) takes 60 ms to build, 10 ms per epoch and 0.1 ms per batch, as long as hundreds of
updates of a small model. Here one gather takes the rows of a whole window.
"""

import dataclasses
import functools
from typing import Any

import tensorflow as tf

from keras_vrnn import _keras_private

_DataAdapter, _ArrayDataAdapter = _keras_private.data_adapters()


@dataclasses.dataclass(frozen=True)
class Window:
    """Consecutive batches of an epoch.

    Attributes:
        rows: Structure of tensors with the rows of `per_window` batches, batch by batch; None if there is no whole one.
        first, count: Numbers of the first batch to use, and of batches to use.
        last: Structure of tensors with the smaller last batch of the epoch, or None.
    """

    rows: Any
    first: int
    count: int
    last: Any


class EpochData(_DataAdapter):
    """Arrays as `fit` takes them, read in windows.

    Args:
        plan: `epoch_plan.Plan`. Keras checks and converts its arrays.
        class_weight: As in `fit`.
        shuffle: Whether the rows of an epoch are in random order, the same as in Keras' pipeline.
        item_per_batch: Whether a window is followed by None for each of its batches but the first, for `predict`: it
            reads as many items as batches.
    """

    def __init__(self, plan, class_weight=None, shuffle=False, item_per_batch=False):
        x, y, sample_weight = plan.data
        rows = _rows(plan.data)
        everything = _ArrayDataAdapter(
            x, y, sample_weight=sample_weight, class_weight=class_weight, batch_size=rows
        )
        arrays = next(everything.get_numpy_iterator())
        self._tensors = tf.nest.map_structure(lambda a: a if a is None else tf.convert_to_tensor(a), arrays)
        self._size, self._per_window = plan.batch_size, plan.batches
        self._order = _Order(rows) if shuffle else None
        self._item_per_batch = item_per_batch
        self._full, self._rest = divmod(rows, plan.batch_size)

    @property
    def spec(self):
        """Structure of `tf.TensorSpec` of a batch; the number of rows is None if the last batch is smaller."""
        size = None if self._rest else self._size
        return tf.nest.map_structure(
            lambda leaf: leaf if leaf is None else tf.TensorSpec([size, *leaf.shape[1:]], leaf.dtype),
            self._tensors,
        )

    @property
    def num_batches(self):
        return self._full + (self._rest > 0)

    @property
    def batch_size(self):
        return self._size

    @property
    def has_partial_batch(self):
        return self._rest > 0

    @property
    def partial_batch_size(self):
        return self._rest or None

    def get_tf_dataset(self):
        """The windows of an epoch; `fit` reads them one by one from this iterable, where it expects a dataset."""
        return self

    def __iter__(self):
        order = None if self._order is None else self._order.of_next_epoch()
        for begin in range(0, self.num_batches, self._per_window):
            count = min(self._per_window, self._full - begin)
            # The last window also has `per_window` batches, so that the program is the same.
            start = min(begin, self._full - self._per_window)
            is_last = self._rest and begin + self._per_window > self._full
            yield Window(
                self._taken(order, start * self._size, (start + self._per_window) * self._size),
                begin - start,
                count,
                self._taken(order, self._full * self._size, None) if is_last else None,
            )
            if self._item_per_batch:
                yield from [None] * (min(self._per_window, self.num_batches - begin) - 1)

    def _taken(self, order, start, stop):
        def taken(leaf):
            if leaf is None:
                return None
            return leaf[start:stop] if order is None else tf.gather(leaf, order[start:stop])

        return tf.nest.map_structure(taken, self._tensors)


class _Order:
    """The order of rows in each epoch, as in Keras' pipeline for arrays (3.15).

    There, every epoch starts the random operation anew: after `keras.utils.set_random_seed`, all epochs have the same
    order. Without a seed, they differ.
    """

    def __init__(self, rows):
        # A new graph inherits the seed. `tf.random` itself would count the question as a draw of the user's program.
        seed = tf.__internal__.FuncGraph("order").seed
        self._rows, self._seeded = rows, None if seed is None else _seeded_order(rows, seed)

    def of_next_epoch(self):
        return (
            tf.random.shuffle(tf.range(self._rows, dtype=tf.int64)) if self._seeded is None else self._seeded
        )


@functools.lru_cache(maxsize=8)
def _seeded_order(rows, seed):
    """The first order that a graph with this seed draws; a new graph, because a later draw would differ."""
    function = tf.function(lambda: tf.random.shuffle(tf.range(rows, dtype=tf.int64)), autograph=False)
    order = function.get_concrete_function()
    (shuffle,) = (op for op in order.graph.get_operations() if op.type == "RandomShuffle")
    if (shuffle.get_attr("seed"), shuffle.get_attr("seed2")) == (0, 0):
        raise RuntimeError(
            f"TensorFlow has ignored the seed {seed}, so that the order of rows would not repeat."
        )
    return order()


def _rows(data):
    return next(leaf.shape[0] for leaf in tf.nest.flatten(data) if leaf is not None)
