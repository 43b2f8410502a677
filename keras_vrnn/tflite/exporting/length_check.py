"""Checks that a file for any number of time steps reads no step beyond the last."""

import numpy as np

from keras_vrnn.tflite.running.runner import Runner


def shorter(arrays, parts):
    """Yields the inputs with fewer time steps than the file takes: with half of them, and with one."""
    for steps in sorted({max(1, parts.timesteps // 2), 1} - {parts.timesteps}):
        yield [
            array[:, :steps] if name in parts.timed else array
            for name, array in zip(parts.inputs, arrays, strict=True)
        ]


def check_filling(path, arrays, parts):
    """Refuses a file whose outputs depend on what follows the last step.

    Args:
        path: The file.
        arrays: Inputs with fewer time steps than the file takes.
        parts: The `Partition` of the model.

    Raises:
        ValueError: Other values after the last step give other outputs.
    """
    inputs = dict(zip(parts.inputs, arrays, strict=True))
    for name, zeros, noise in zip(
        parts.outputs, _run(Runner, path, inputs), _run(_Noisy, path, inputs), strict=True
    ):
        if not np.array_equal(zeros, noise, equal_nan=True):
            raise ValueError(
                "`timesteps` must be a number of steps, or be left out, for a model in which a layer combines time "
                "steps (a convolution, pooling over time, attention) or goes backwards and returns all outputs in that "
                f"order. Received: timesteps=None, where output {name!r} depends on what follows the last step."
            )


class _Noisy(Runner):
    """A `Runner` that fills inputs up with random values of the size of the input's instead of zeros."""

    def _filling(self, array, steps):
        shape, rng = super()._filling(array, steps).shape, np.random.default_rng(0)
        largest = np.abs(array).max()
        if array.dtype.kind == "f":
            return rng.uniform(-1, 1, shape).astype(array.dtype) * (largest or 1)
        return rng.integers(0, max(int(largest), 1), shape, array.dtype, endpoint=True)


def _run(kind, path, inputs):
    made = kind(path)(inputs)
    return list(made.values()) if isinstance(made, dict) else [made]
