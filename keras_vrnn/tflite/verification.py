"""Compares an exported model with its Keras original, sample by sample.

Needs the TensorFlow backend.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import keras
import numpy as np

from keras_vrnn.tflite.inputs import as_inputs, with_integer_tokens
from keras_vrnn.tflite.runtime import Runner


@dataclass(frozen=True)
class Verification:
    """How a `.tflite` file differs from the Keras model it came from. Of several outputs the worst figure stands.

    Attributes:
        path: the file.
        size: its size in bytes.
        samples: how many samples were run through both.
        max_error, mean_error: absolute difference of the outputs.
        agreement: share (0 to 1) of predictions on which both agree: the class with the highest output, or the
            side of 0.5 for a single output between 0 and 1; None for other single outputs.
        accuracy_keras, accuracy_tflite: share of predictions that equal the labels; None without labels.
        microseconds: median duration of one invoke (of a streaming file: one step) on this machine, one thread.
    """

    path: Path
    size: int
    samples: int
    max_error: float
    mean_error: float
    agreement: float | None
    accuracy_keras: float | None
    accuracy_tflite: float | None
    microseconds: float

    def to_dict(self):
        """Returns the figures as a dictionary for JSON."""
        return asdict(self) | {"path": str(self.path)}

    def __str__(self):
        def show(value):
            return f"{value:.6g}" if isinstance(value, float) else str(value)

        width = max(len(f.name) for f in fields(self))
        return "\n".join(f"{f.name:{width}}  {show(getattr(self, f.name))}" for f in fields(self))


def verify(model, path, x, y=None):
    """Runs `x` through the Keras model and the exported file, and returns how far they differ.

    Args:
        model: the Keras model.
        path: the `.tflite` file that `export` wrote.
        x: inputs, the batch axis first; a list or a dictionary by input name for several inputs.
        y: labels, for models with one output: class indices (samples,) or, for outputs per time step,
            (samples, time); 0 and 1 for a single output.

    Returns:
        A `Verification`.

    Raises:
        FileNotFoundError: there is no file `path`.
        ValueError: the file is no TFLite model, or `x` or `y` do not fit the model.
    """
    runner = Runner(path)
    model = with_integer_tokens(model)
    arrays = as_inputs(model, x, "x")
    names = [tensor.name for tensor in model.inputs]
    if set(names) != set(runner.inputs):
        raise ValueError(f"path: {str(path)!r} has the inputs {runner.inputs}, the model has {names}.")
    actual = runner(dict(zip(names, arrays, strict=True)))
    actual = list(actual.values()) if isinstance(actual, dict) else [actual]
    expected = keras.tree.flatten(model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0))
    if runner.streaming:  # a model that gives its last output only is compared at the last step
        actual = [a if a.ndim == e.ndim else a[:, -1] for a, e in zip(actual, expected, strict=True)]
    shapes = [[array.shape for array in outputs] for outputs in (actual, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"path: {str(path)!r} gives outputs of the shapes {shapes[0]}, the model {shapes[1]}."
        )
    if y is not None:
        y = _as_labels(y, expected)

    errors = [np.abs(a - e) for a, e in zip(actual, expected, strict=True)]
    predicted = [_predictions(values, decided_by=e) for values, e in zip(actual, expected, strict=True)]
    wanted = [_predictions(e, decided_by=e) for e in expected]
    shares = [float(np.mean(p == w)) for p, w in zip(predicted, wanted, strict=True) if w is not None]
    return Verification(
        path=Path(path),
        size=Path(path).stat().st_size,
        samples=len(arrays[0]),
        max_error=max(float(e.max()) for e in errors),
        mean_error=max(float(e.mean()) for e in errors),
        agreement=min(shares, default=None),
        accuracy_keras=None if y is None else float(np.mean(wanted[0] == y)),
        accuracy_tflite=None if y is None else float(np.mean(predicted[0] == y)),
        microseconds=float(np.median(runner.seconds) * 1e6),
    )


def _predictions(values, decided_by):
    """The class that each output vector stands for; None if it stands for none."""
    if values.shape[-1] > 1:
        return values.argmax(axis=-1)
    if decided_by.min() < 0.0 or decided_by.max() > 1.0:
        return None
    return (values[..., 0] >= 0.5).astype(int)


def _as_labels(y, expected):
    shape = expected[0].shape[:-1]
    y = np.asarray(y)
    if y.shape == (*shape, 1):
        y = y[..., 0]
    if len(expected) != 1 or y.shape != shape or _predictions(expected[0], expected[0]) is None:
        raise ValueError(
            f"y: expected class labels of shape {shape} for a model with one classifying output, "
            f"received shape {y.shape} for {len(expected)} outputs."
        )
    return y
