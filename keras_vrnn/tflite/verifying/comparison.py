"""How far one output of an exported model is from Keras'. Needs NumPy and ai-edge-litert only."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_vrnn.quantization.formats import limits
from keras_vrnn.tflite.running.engines import quantize
from keras_vrnn.tflite.verifying.truth import predictions


@dataclass(frozen=True)
class Comparison:
    """How one output of a file compares with the Keras model's.

    Attributes:
        max_error, mean_error: absolute difference.
        scale: the output's quantization step; None if it is not quantized.
        max_steps, mean_steps: the errors in steps of `scale`; None without one.
        agreement: share (0 to 1) of predictions on which both agree; None if the output does not stand for a class.
        accuracy, accuracy_keras: share of the file's and of Keras' predictions that equal the labels; None without
            labels.
        mae, mae_keras: mean absolute error of the file and of Keras against real targets; None without targets.
        rmse, rmse_keras: root of the mean squared error, likewise.
        values, saturated: how many numbers were compared, and how many of the file's numbers are an end of their
            integer range, where a larger value would give the same integer; None if it is not quantized.
        error_over_time: mean absolute error at each time step; None for an output without time axis.
    """

    max_error: float
    mean_error: float
    scale: float | None
    max_steps: float | None
    mean_steps: float | None
    agreement: float | None
    accuracy: float | None
    accuracy_keras: float | None
    mae: float | None
    mae_keras: float | None
    rmse: float | None
    rmse_keras: float | None
    values: int
    saturated: int | None
    error_over_time: tuple[float, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures as a dictionary for JSON."""
        return asdict(self)


def compare(actual, expected, detail, truth=None):
    """Compares an output of a file with Keras'.

    Args:
        actual, expected: arrays of one shape, (samples, ...) or, with a time axis, (samples, time, ...).
        detail: the output's entry in `Runner.output_details`.
        truth: the `Truth` of the output, if there is one.

    Returns:
        A `Comparison`.
    """
    error = np.abs(actual - expected)
    scale = detail["quantization"][0] or None
    predicted, wanted = predictions(actual, decided_by=expected), predictions(expected, decided_by=expected)
    axes = (0, *range(2, error.ndim))
    labels, targets = (None, None) if truth is None else (truth.labels, truth.targets)
    return Comparison(
        max_error=float(error.max()),
        mean_error=float(error.mean()),
        scale=scale,
        max_steps=None if scale is None else float(error.max()) / scale,
        mean_steps=None if scale is None else float(error.mean()) / scale,
        agreement=None if wanted is None else float(np.mean(predicted == wanted)),
        accuracy=None if labels is None else float(np.mean(predicted == labels)),
        accuracy_keras=None if labels is None else float(np.mean(wanted == labels)),
        mae=None if targets is None else _mae(actual, targets),
        mae_keras=None if targets is None else _mae(expected, targets),
        rmse=None if targets is None else _rmse(actual, targets),
        rmse_keras=None if targets is None else _rmse(expected, targets),
        values=error.size,
        saturated=None if scale is None else saturated(actual, detail),
        error_over_time=tuple(map(float, error.mean(axis=axes))) if error.ndim > 2 else None,
    )


def _mae(values, targets):
    return float(np.mean(np.abs(values - targets)))


def _rmse(values, targets):
    return float(np.sqrt(np.mean((values - targets) ** 2)))


def saturated(real, detail):
    """Returns how many real values a tensor holds as an end of its integer range, or can't hold at all."""
    lowest, highest = limits(detail["dtype"])
    integers = quantize(real, detail)
    return int(np.sum((integers <= lowest) | (integers >= highest)))
