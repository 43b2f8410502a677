"""Whole epochs in a few calls of one compiled program (TensorFlow).

    for i = first … first + count − 1:   logs = step(rows[i·B : (i+1)·B])

Keras' `fit` (3.15) returns to Python after every batch, and a call of a compiled function costs about 1 ms, more than
the arithmetic of a small model. Here one call makes many updates. `first` and `count` are arguments, so the same
program serves for any number of batches. docs/decisions/epoch.md has the measurements.
"""

import tensorflow as tf

from keras_vrnn.training.xla import differs, warn_of_refusal

# XLA takes as long to compile a step for a smaller last batch as hundreds of such batches take without XLA.
_EPOCHS_WORTH_COMPILING = 500


class Loop:
    """A step, and the loop over batches around it.

    Args:
        step: Function of a batch that returns a structure of tensors, such as the logs.
        spec: Structure of `tf.TensorSpec` of a batch.
        jit_compile: Whether XLA compiles the loop.
    """

    def __init__(self, step, spec, jit_compile):
        # The only trace of the step. It also makes all variables.
        self.step = tf.function(step, autograph=False).get_concrete_function(spec)
        self.is_tried = False
        self._compile(jit_compile)

    def _compile(self, jit_compile):
        self.jit_compile = jit_compile
        self._program = tf.function(self._run, autograph=False, jit_compile=jit_compile)

    def without_xla(self):
        self._compile(False)

    def __call__(self, rows, batch_size, first, count):
        """Runs batches first … first + count − 1 of `rows`; returns the results of the last."""
        results = self._program(rows, batch_size, tf.constant(first), tf.constant(count))
        self.is_tried = True
        return results

    def _run(self, rows, batch_size, first, count):
        def body(i, _):
            batch = tf.nest.map_structure(lambda leaf: _batch(leaf, i, batch_size), rows)
            return i + 1, tf.nest.flatten(self.step(batch), expand_composites=True)

        structure = self.step.structured_outputs
        specs = tf.nest.flatten(structure, expand_composites=True)
        _, results = tf.while_loop(
            lambda i, _: i < first + count,
            body,
            (first, [tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in specs]),
            shape_invariants=(tf.TensorShape([]), [spec.shape for spec in specs]),
        )
        return tf.nest.pack_sequence_as(structure, results, expand_composites=True)


def _batch(rows, i, size):
    if rows is None:
        return None
    start = tf.stack([i * size] + [0] * (rows.shape.rank - 1))
    return tf.slice(rows, start, [size, *rows.shape[1:]])


class TrainFunction:
    """A train function for `fit` on `EpochData`: it makes the updates of a window in one call.

    Args:
        model: The model; its `train_step` is what runs.
        record: Function (execute, updates) → logs that calls `execute` and records the norms of its updates.
        data: `EpochData`.
        epochs: Number of epochs.
        loops: Loops of earlier trainings, by what they were made for; new ones are added.
    """

    def __init__(self, model, record, data, epochs, loops):
        self._model, self._record, self._data = model, record, data
        self._compiles_last = epochs >= _EPOCHS_WORTH_COMPILING
        self._loops = loops

    def forget(self):
        """Traces the step anew when it is next needed."""
        self._loops.clear()

    def __call__(self, windows):
        window, loop, logs = next(windows), self._loop(), None
        first, count = window.first, window.count
        if count and not loop.is_tried:
            # The first batch runs alone, so that a failure leaves all weights as they were.
            logs = self._record(lambda: self._tried(loop, window.rows), 1)
            first, count = first + 1, count - 1
        if count:
            logs = self._record(lambda: self._many(loop, window.rows, first, count), count)
        if window.last is not None:
            logs = self._record(lambda: self._last(loop, window.last), 1)
        return logs

    def _loop(self):
        jit_compile = self._model.jit_compile
        key = (jit_compile, repr(self._data.spec))
        if key not in self._loops:
            self._loops[key] = Loop(self._model.train_step, self._data.spec, jit_compile)
        return self._loops[key]

    def _many(self, loop, rows, first, count):
        return loop(rows, self._data.batch_size, first, count)

    def _tried(self, loop, rows):
        """Runs the first batch with XLA if XLA accepts it, and otherwise without.

        A failure loses nothing: XLA compiles the whole program before any part of it runs.
        """
        if not self._model.tries_xla:
            return self._many(loop, rows, 0, 1)
        refusal = None
        if not differs(loop.step.graph):
            try:
                return self._many(loop, rows, 0, 1)
            except Exception as error:
                # XLA refuses with many types of errors. An error of the user's program comes again below.
                refusal = error
        self._model.refuse_xla()
        loop.without_xla()
        logs = self._many(loop, rows, 0, 1)
        if refusal is not None:
            warn_of_refusal(refusal)
        return logs

    def _last(self, loop, rows):
        """Runs the last batch of an epoch, which is smaller."""
        if loop.jit_compile and (self._compiles_last or not self._model.tries_xla):
            return loop(rows, self._data.partial_batch_size, 0, 1)
        return loop.step(rows)
