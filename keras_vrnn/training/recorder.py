"""The gradient norms of every step, recorded inside the compiled training function (TensorFlow).

A training step may run inside XLA, inside a loop of `steps_per_execution` steps, or on several replicas. Only variables
bring every norm out of all of these. Each step writes a row into a ring buffer, which the host empties before it
overflows; a vector holds the statistics of the running epoch. Neither belongs to the model's weights.
"""

import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.training.xla import IndexChecks

# The smallest number of rows in the ring. Emptying it costs as much as a few hundred kernels, so it happens rarely.
_LEAST_CAPACITY = 256

LOG_NAMES = ("grad_norm", "clipped_grad_norm", "clip_fraction", "grad_norm_max", "skipped_steps")

# Values before the per-variable norms in a row: whether the update was made, n before and after clipping.
_SCALARS = 3


class Rows:
    """The norms of consecutive steps.

    Attributes:
        names: Paths of the trainable variables.
        first_step: Number of the first row's step, counted from 1.
        applied: (rows,), whether the update was made.
        global_norms: (rows, 2), before and after clipping.
        variable_norms: (rows, 2, variables), before and after clipping.
    """

    def __init__(self, names, first_step, table):
        self.names = names
        self.first_step = first_step
        self.applied = table[:, 0] != 0
        self.global_norms = table[:, 1:_SCALARS]
        self.variable_norms = table[:, _SCALARS:].reshape(len(table), 2, len(names))

    def __len__(self):
        return len(self.applied)


class GradientRecorder:
    """Collects norms on the device and passes them to the sinks, which are objects with `receive(rows)`."""

    def __init__(self):
        self.names: tuple[str, ...] | None = None
        self.sinks: weakref.WeakSet = weakref.WeakSet()
        self.index_checks = IndexChecks()
        self._steps: Any = None
        self._capacity = 0
        self._rows_per_execution = 0
        self._steps_read = 0
        self._perhaps_unread = 0

    @property
    def is_built(self):
        return self.names is not None

    def build(self, names, steps_per_execution, room=0, iterations=lambda: 0):
        """Makes the variables, unless they exist for the same names with at least this capacity.

        Args:
            names: Paths of the trainable variables.
            steps_per_execution: The most rows that one execution of the training function writes.
            room: The smallest number of rows in the ring.
            iterations: Function that returns the number of updates so far: after a restart, steps count from there.
        """
        names = tuple(names)
        capacity = max(_LEAST_CAPACITY, room, 2 * steps_per_execution)
        is_new = names != self.names or capacity > self._capacity
        if not is_new and steps_per_execution <= self._rows_per_execution:
            return
        # init_scope: the training function may be in the middle of its tracing.
        with tf.init_scope():
            self.drain()
            if is_new:
                steps = _local(self._steps) if self.is_built else iterations()
                self._make_variables(names, capacity, int(keras.ops.convert_to_numpy(steps)))
        self._rows_per_execution = steps_per_execution
        # The execution that is being traced was unknown to `make_room`, or known as a shorter one.
        self._perhaps_unread = steps_per_execution

    def _make_variables(self, names, capacity, steps):
        self.names, self._capacity, self._steps_read = names, capacity, steps
        width = _SCALARS + 2 * len(names)
        self._ring = _variable(tf.zeros([capacity, width]), "gradient_norms")
        self._steps = _variable(tf.constant(steps, tf.int64), "gradient_steps")
        # The statistics of LOG_NAMES, and the number of updates in the means.
        self._epoch = _variable(tf.zeros([6]), "gradient_epoch")
        self._halted = _variable(tf.constant(False), "gradient_halted")
        # What `IndexChecks.found` has found first.
        self._outside = _variable(tf.zeros([2], tf.int32), "gradient_index_outside")

    # Inside the training function.

    @property
    def halted(self):
        """Scalar bool: whether a gradient that was not finite has ended training (`nonfinite="raise"`)."""
        return _local(self._halted).read_value()

    def halt_if(self, condition):
        halted = _local(self._halted)
        halted.assign(tf.logical_or(halted.read_value(), condition))

    @property
    def all_inside(self):
        """Scalar bool: whether no index has been out of range."""
        return tf.equal(_local(self._outside).read_value()[0], 0)

    def keep_outside(self, found):
        """Keeps the first result of `IndexChecks.found` that is an index out of range."""
        outside = _local(self._outside)
        outside.assign(tf.where(self.all_inside, found, outside.read_value()))

    def write(self, clipped, applied, counts):
        """Adds the norms of a step.

        Args:
            clipped: `gradients.Clipped`.
            applied: Scalar bool, whether the update is made.
            counts: Scalar bool, False for a batch that is only accumulated, or that comes after training has ended.
        """
        made = tf.cast(applied, tf.float32)
        n, clipped_n = clipped.global_norm, tf.where(applied, clipped.clipped_global_norm, 0.0)
        clipped_n_i = tf.where(applied, clipped.clipped_norms, 0.0)
        row = tf.concat([tf.stack([made, n, clipped_n]), clipped.norms, clipped_n_i], axis=0)
        steps = _local(self._steps)
        step = steps.read_value()
        # The next row overwrites a row that does not count.
        _local(self._ring).scatter_nd_update(tf.reshape(step % self._capacity, [1, 1]), row[tf.newaxis])
        steps.assign(step + tf.cast(counts, tf.int64))

        epoch = _local(self._epoch)
        before = epoch.read_value()
        updates = before[5] + 1.0
        now = tf.stack([n, clipped_n, tf.cast(clipped.changed, tf.float32)])
        means = before[:3] + (now - before[:3]) / updates
        if_made = tf.concat([means, tf.stack([tf.maximum(before[3], n), before[4], updates])], axis=0)
        if_skipped = before + tf.constant([0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        epoch.assign(tf.where(counts, tf.where(applied, if_made, if_skipped), before))

    def packed_logs(self):
        """Statistics of the epoch so far, in one tensor."""
        outside = tf.cast(_local(self._outside).read_value(), tf.float32)
        return tf.concat([_local(self._epoch).read_value(), outside], axis=0)

    # On the host.

    def unpacked(self, packed_logs):
        """The statistics in `packed_logs`, by name.

        Raises:
            tf.errors.InvalidArgumentError: An index was out of range in a step that XLA has compiled.
        """
        *statistics, number, index = packed_logs.numpy().tolist()
        if number:
            _local(self._outside).assign(tf.zeros([2], tf.int32))
            raise self.index_checks.error(number, index)
        return dict(zip(LOG_NAMES, statistics, strict=False))

    def logs(self):
        """Statistics of the epoch so far, by name."""
        return self.unpacked(self.packed_logs())

    def reset_logs(self):
        if self.is_built:
            _local(self._epoch).assign(tf.zeros([6]))

    def expect_new_function(self):
        """Call this before tracing another training function: it may write fewer rows than the last one."""
        self._rows_per_execution = 0

    def make_room(self, rows=None):
        """Empties the ring if the rows of the next execution might not fit: by default, the most it may write."""
        rows = self._rows_per_execution if rows is None else rows
        if self.is_built and self._perhaps_unread + rows > self._capacity:
            self.drain()
        self._perhaps_unread += rows

    def attach(self, sink):
        """Makes a sink receive all steps from now on."""
        self.drain()
        self.sinks.add(sink)

    def detach(self, sink):
        """Passes the last rows to a sink and removes it."""
        self.drain()
        self.sinks.discard(sink)

    def drain(self):
        """Passes all unread rows to the sinks."""
        if not self.is_built:
            return
        steps = int(_local(self._steps).numpy())
        if self.sinks and steps > self._steps_read:
            rows = self._rows(self._steps_read, steps)
            for sink in self.sinks:
                sink.receive(rows)
        self._steps_read = steps
        self._perhaps_unread = 0

    def _rows(self, start, stop):
        if stop - start > self._capacity:
            raise RuntimeError(
                f"{stop - start - self._capacity} steps of gradient norms were overwritten before they were read: "
                f"`train_step` was called {stop - start} times outside `fit` and `train_on_batch`, and the ring holds "
                f"{self._capacity} steps. Read the callback at least that often, or train through "
                "`model.train_function`."
            )
        slots = np.arange(start, stop) % self._capacity
        return Rows(self.names, start + 1, _local(self._ring).numpy()[slots])

    def raise_if_halted(self):
        """Ends training if a gradient was not finite, naming the step and the variables."""
        if not self.is_built or not bool(_local(self._halted).numpy()):
            return
        _local(self._halted).assign(False)
        self.drain()
        steps = int(_local(self._steps).numpy())
        norms = self._rows(steps - 1, steps).variable_norms[0, 0]
        broken = [f"{name} ({n})" for name, n in zip(self.names, norms, strict=True) if not np.isfinite(n)]
        raise FloatingPointError(
            f"The gradient of step {steps} is not finite, for {', '.join(broken) or 'the norm over all variables'}. "
            "The update was not made, so the weights are still finite. Look for inf or NaN in the batch, lower the "
            "learning rate, or clip; compile(nonfinite='skip') leaves such updates out."
        )


def _variable(value, name):
    return tf.Variable(value, trainable=False, name=name)


def _local(variable):
    """The variable itself, or its first copy under a distribution strategy."""
    return tf.distribute.get_strategy().experimental_local_results(variable)[0]
