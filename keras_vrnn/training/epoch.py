"""Whole epochs in a few calls of one compiled program (TensorFlow).

    for i = first … first + count − 1:   logs = step(rows[i·B : (i+1)·B])

Keras' `fit` (3.15) returns to Python after every batch, and a call of a compiled function costs about 1 ms, more than
the arithmetic of a small model. Here one call makes many updates. `first` and `count` are arguments, so the same
program serves for any number of batches. docs/decisions/epoch.md has the measurements.
"""

import tensorflow as tf

from keras_vrnn.layers.native_path import for_xla
from keras_vrnn.training.xla import differs, warn_of_refusal

# XLA takes as long to compile a step for a smaller last batch as hundreds of such batches take without XLA.
_EPOCHS_WORTH_COMPILING = 500


class Loop:
    """A step, and the loop over batches around it.

    Args:
        step: Function of a batch that returns a structure of tensors, such as the logs.
        spec: Structure of `tf.TensorSpec` of a batch.
        jit_compile: Whether XLA compiles the loop.
        collects: Whether to return the results of all batches, joined along the first axis, or only the last batch's.
    """

    def __init__(self, step, spec, jit_compile, collects=False):
        # Mostly the only trace of the step. It also makes all variables.
        with for_xla(jit_compile):
            self.step = tf.function(step, autograph=False).get_concrete_function(spec)
        self._function, self._inner = step, self.step
        self.is_tried, self._collects = False, collects
        self._compile(jit_compile)

    def _compile(self, jit_compile):
        self.jit_compile = jit_compile
        self._program = tf.function(self._run, autograph=False, jit_compile=jit_compile)

    def trace_inside(self):
        """Traces the step once more, inside the program that XLA compiles.

        Some loops, such as a Keras LSTM behind another recurrence, get lists of fixed length only there.
        """
        self._inner = self._function
        self._compile(True)

    def without_xla(self):
        self._inner = self.step
        self._compile(False)

    def __call__(self, rows, batch_size, first, count):
        """Runs batches first … first + count − 1 of `rows`; returns the results."""
        results = self._program(rows, batch_size, tf.constant(first), tf.constant(count))
        self.is_tried = True
        return results

    def _run(self, rows, batch_size, first, count):
        def outputs(i):
            batch = tf.nest.map_structure(lambda leaf: _batch(leaf, i, batch_size), rows)
            return tf.nest.flatten(self._inner(batch), expand_composites=True)

        structure = self.step.structured_outputs
        specs = tf.nest.flatten(structure, expand_composites=True)
        run = self._all_results if self._collects else self._last_results
        results = run(outputs, specs, batch_size, first, count)
        return tf.nest.pack_sequence_as(structure, results, expand_composites=True)

    @staticmethod
    def _last_results(outputs, specs, batch_size, first, count):
        return tf.while_loop(
            lambda i, _: i < first + count,
            lambda i, _: (i + 1, outputs(i)),
            (first, [tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in specs]),
            shape_invariants=(tf.TensorShape([]), [spec.shape for spec in specs]),
        )[1]

    @staticmethod
    def _all_results(outputs, specs, batch_size, first, count):
        def body(i, arrays):
            written = zip(arrays, outputs(i), strict=True)
            return i + 1, [array.write(i - first, output) for array, output in written]

        shapes = [[batch_size, *spec.shape[1:]] for spec in specs]
        arrays = [
            tf.TensorArray(spec.dtype, count, element_shape=shape)
            for spec, shape in zip(specs, shapes, strict=True)
        ]
        _, arrays = tf.while_loop(lambda i, _: i < first + count, body, (first, arrays))
        return [array.concat() for array in arrays]


def _batch(rows, i, size):
    if rows is None:
        return None
    start = tf.stack([i * size] + [0] * (rows.shape.rank - 1))
    return tf.slice(rows, start, [size, *rows.shape[1:]])


class EpochFunction:
    """A train or test function on `EpochData`: it runs the batches of a window in one call.

    Args:
        model: The model.
        step: Its `train_step`, `test_step` or `predict_step`.
        jit_compile: Whether XLA compiles it.
        data: `EpochData`.
        epochs: Number of epochs.
        loops: Loops made before, by what they were made for; new ones are added.
        around: Function (execute, batches) → logs that calls `execute`.
    """

    def __init__(
        self, model, step, jit_compile, data, epochs, loops, around=lambda execute, batches: execute()
    ):
        self._model, self._step, self._data, self._around = model, step, data, around
        self._jit_compile = jit_compile
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
            logs = self._around(lambda: self._tried(loop, window.rows, first), 1)
            first, count = first + 1, count - 1
        if count:
            logs = self._around(lambda: self._many(loop, window.rows, first, count), count)
        if window.last is not None:
            logs = self._around(lambda: self._last(loop, window.last), 1)
        return logs

    def _loop(self, collects=False):
        key = self._key()
        if key not in self._loops:
            self._loops[key] = Loop(self._step, self._data.spec, self._jit_compile, collects)
        return self._loops[key]

    def _key(self):
        return self._step.__name__, self._jit_compile, repr(self._data.spec)

    def _many(self, loop, rows, first, count):
        return loop(rows, self._data.batch_size, first, count)

    def _tried(self, loop, rows, first):
        """Runs the first batch with XLA if XLA accepts it, and otherwise without.

        A failure loses nothing: XLA compiles the whole program before any part of it runs.
        """
        if not self._model.tries_xla:
            if loop.jit_compile:  # the user's choice: nothing else is left to try
                loop.trace_inside()
            return self._many(loop, rows, first, 1)
        refusal = None
        if not differs(loop.step.graph):
            for prepare in (lambda: None, loop.trace_inside):
                prepare()
                try:
                    return self._many(loop, rows, first, 1)
                except Exception as error:
                    # XLA refuses with many types of errors. An error of the user's program comes again below.
                    refusal = error
        self._model.refuse_xla()
        loop.without_xla()
        self._jit_compile = False
        self._loops[self._key()] = loop
        logs = self._many(loop, rows, first, 1)
        if refusal is not None:
            warn_of_refusal(refusal)
        return logs

    def _last(self, loop, rows):
        """Runs the last batch of an epoch, which is smaller."""
        if loop.jit_compile and (self._compiles_last or not self._model.tries_xla):
            return loop(rows, self._data.partial_batch_size, 0, 1)
        return loop.step(rows)


class PredictFunction(EpochFunction):
    """A predict function on `EpochData`, which gets a list of items: the first is the window."""

    def __call__(self, items):
        window, loop = items[0], self._loop(collects=True)
        parts = []
        if window.count:
            parts.append(self._many(loop, window.rows, window.first, window.count))
        if window.last is not None:
            parts.append(self._last(loop, window.last))
        return tf.nest.map_structure(lambda *outputs: tf.concat(outputs, axis=0), *parts)
