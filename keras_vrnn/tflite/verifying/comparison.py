"""Figures of how far one tensor of an exported model is from Keras'."""

from dataclasses import asdict, dataclass

import numpy as np

from keras_vrnn.quantization.formats import limits
from keras_vrnn.tflite.running.engines import quantize


@dataclass(frozen=True)
class Comparison:
    """One output of a file against the Keras model's.

    Attributes:
        max_error, mean_error: absolute difference.
        scale: the output's quantization step; None if it is not quantized.
        max_steps, mean_steps: the errors in steps of `scale`; None without one.
        agreement: share (0 to 1) of predictions on which both agree; None if the output stands for no class.
        accuracy: share of predictions that equal the labels; None without labels.
        values, saturated: how many numbers were compared, and how many of the file's lie at the end of their integer
            range, where a larger value would give the same integer; None if it is not quantized.
        error_over_time: mean absolute error at each time step; None for an output without time axis.
    """

    max_error: float
    mean_error: float
    scale: float | None
    max_steps: float | None
    mean_steps: float | None
    agreement: float | None
    accuracy: float | None
    values: int
    saturated: int | None
    error_over_time: tuple[float, ...] | None

    def to_dict(self):
        """Returns the figures as a dictionary for JSON."""
        return asdict(self)


def compare(actual, expected, detail, labels=None):
    """Compares what a file gave with what Keras gave.

    Args:
        actual, expected: arrays of one shape, (samples, ...) or, with a time axis, (samples, time, ...).
        detail: the output's entry in `Runner.details`.
        labels: the right classes, of the outputs' shape without the last axis.

    Returns:
        A `Comparison`.
    """
    error = np.abs(actual - expected)
    scale = detail["quantization"][0] or None
    predicted, wanted = predictions(actual, decided_by=expected), predictions(expected, decided_by=expected)
    axes = (0, *range(2, error.ndim))
    return Comparison(
        max_error=float(error.max()),
        mean_error=float(error.mean()),
        scale=scale,
        max_steps=None if scale is None else float(error.max()) / scale,
        mean_steps=None if scale is None else float(error.mean()) / scale,
        agreement=None if wanted is None else float(np.mean(predicted == wanted)),
        accuracy=None if labels is None else float(np.mean(predicted == labels)),
        values=error.size,
        saturated=None if scale is None else saturated(actual, detail),
        error_over_time=tuple(map(float, error.mean(axis=axes))) if error.ndim > 2 else None,
    )


def saturated(real, detail):
    """Returns how many of some real values a tensor holds as the end of its integer range, or can't hold at all."""
    lowest, highest = limits(detail["dtype"])
    integers = quantize(real, detail)
    return int(np.sum((integers <= lowest) | (integers >= highest)))


def predictions(values, decided_by):
    """The class that each output vector stands for; None if it stands for none."""
    if values.shape[-1] > 1:
        return values.argmax(axis=-1)
    if decided_by.min() < 0.0 or decided_by.max() > 1.0:
        return None
    return (values[..., 0] >= 0.5).astype(int)
