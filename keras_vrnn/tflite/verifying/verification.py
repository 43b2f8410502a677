"""Compares an exported model with its Keras original, sample by sample.

Needs the TensorFlow backend.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_vrnn.tflite.exporting.capture.inputs import as_inputs, with_integer_tokens
from keras_vrnn.tflite.micro.interpreter import MicroRunner
from keras_vrnn.tflite.running.runner import Runner
from keras_vrnn.tflite.verifying import drift
from keras_vrnn.tflite.verifying.comparison import Comparison, compare, predictions, saturated

_WORST = 5


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
        outputs: output name -> `Comparison` on LiteRT.
        micro: the same on TFLite Micro; None if it was not asked for.
        states: layer name -> `Drift`, the error of its state over time; empty if it can't be seen.
        states_note: why `states` is empty.
        saturated_inputs: input name -> share of the data that the file's integer input holds as an end of its range.
        worst: the samples with the largest errors: (index, largest error of any output).
        sample_errors: (samples,) the largest error of each sample.
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
    outputs: dict[str, Comparison]
    micro: dict[str, Comparison] | None
    states: dict[str, drift.Drift]
    states_note: str
    saturated_inputs: dict[str, float]
    worst: tuple[tuple[int, float], ...]
    sample_errors: np.ndarray = field(repr=False, compare=False)

    def to_dict(self):
        """Returns the figures as a dictionary for JSON; `sample_errors` is left out."""
        figures = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sample_errors"}
        figures["path"] = str(self.path)
        for name in ("outputs", "micro", "states"):
            if figures[name] is not None:
                figures[name] = {key: value.to_dict() for key, value in figures[name].items()}
        return figures

    def to_json(self):
        """Returns the figures as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def plot(self, path=None, overwrite=False):
        """Draws the errors of the samples, and of outputs and states over time; returns the matplotlib Figure.

        Args:
            path: where to save the picture, in a format that the ending names; None to save nothing.
            overwrite: whether `path` may replace a file that exists.

        Raises:
            ImportError: matplotlib (extra `plots`) is not installed.
            ValueError, FileExistsError: `path` has another ending, or exists.
        """
        from keras_vrnn.tflite.verifying.plot import plot

        return plot(self, path, overwrite)

    def __str__(self):
        head = {
            "path": self.path,
            "size": f"{self.size:,} bytes",
            "samples": self.samples,
            "max_error": _show(self.max_error),
            "mean_error": _show(self.mean_error),
            "agreement": _show(self.agreement),
            "accuracy_keras": _show(self.accuracy_keras),
            "accuracy_tflite": _show(self.accuracy_tflite),
            "microseconds": _show(self.microseconds),
        }
        lines = [f"{name:16}{value}" for name, value in head.items()]
        for title, outputs in (("LiteRT", self.outputs), ("TFLite Micro", self.micro or {})):
            lines += [f"{title}, output {name}: {_line(figures)}" for name, figures in outputs.items()]
        for name, state in self.states.items():
            last, steps = state.mean_error[-1], state.steps
            middle = state.mean_error[len(steps) // 2]
            lines.append(
                f"state of {name}: mean error {_show(middle)} after {steps[len(steps) // 2]} steps, "
                f"{_show(last)} after {steps[-1]}; max {_show(state.max_error)}"
                + ("" if state.saturated is None else f"; {state.saturated / state.values:.1%} saturated")
            )
        if self.states_note:
            lines.append(f"states: not compared, {self.states_note}")
        lines += [f"input {name}: {share:.2%} saturated" for name, share in self.saturated_inputs.items()]
        lines.append("worst samples: " + ", ".join(f"{n} ({_show(error)})" for n, error in self.worst))
        return "\n".join(lines)


def verify(model, path, x, y=None, micro=False):
    """Runs `x` through the Keras model and the exported file, and returns how far they differ.

    Args:
        model: the Keras model.
        path: the `.tflite` file that `export` wrote.
        x: inputs, the batch axis first; a list or a dictionary by input name for several inputs.
        y: labels, for models with one output: class indices (samples,) or, for outputs per time step,
            (samples, time); 0 and 1 for a single output.
        micro: run the file in TFLite Micro too (extra `micro`).

    Returns:
        A `Verification`.

    Raises:
        FileNotFoundError: there is no file `path`.
        ValueError: the file is no TFLite model, `x` or `y` do not fit the model, or TFLite Micro can't run the file.
        ImportError: `micro` is asked for, but the package tflite-micro is not installed.
    """
    runner = Runner(path)
    on_micro = MicroRunner(path) if micro else None
    model = with_integer_tokens(model)
    arrays = as_inputs(model, x, "x")
    names = [tensor.name for tensor in model.inputs]
    if set(names) != set(runner.inputs):
        raise ValueError(f"path: {str(path)!r} has the inputs {runner.inputs}, the model has {names}.")
    expected = keras.tree.flatten(model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0))
    expected = [np.asarray(e) for e in expected]
    inputs = dict(zip(names, arrays, strict=True))
    actual = _outputs(runner, path, inputs, expected)
    microseconds = float(np.median(runner.seconds) * 1e6)
    if y is not None:
        y = _as_labels(y, expected)

    def compared(runner, outputs):
        return {
            name: compare(a, e, runner.details[name], y)
            for name, a, e in zip(runner.outputs, outputs, expected, strict=True)
        }

    figures = compared(runner, actual)
    states, note = drift.measure(model, path, runner, arrays)
    per_sample = [
        np.abs(a - e).max(axis=tuple(range(1, a.ndim))) for a, e in zip(actual, expected, strict=True)
    ]
    sample_errors = np.max(per_sample, axis=0)
    worst = np.argsort(-sample_errors, kind="stable")[:_WORST]
    shares = [f.agreement for f in figures.values() if f.agreement is not None]
    return Verification(
        path=Path(path),
        size=Path(path).stat().st_size,
        samples=len(arrays[0]),
        max_error=max(f.max_error for f in figures.values()),
        mean_error=max(f.mean_error for f in figures.values()),
        agreement=min(shares, default=None),
        accuracy_keras=None if y is None else float(np.mean(predictions(expected[0], expected[0]) == y)),
        accuracy_tflite=None if y is None else next(iter(figures.values())).accuracy,
        microseconds=microseconds,
        outputs=figures,
        micro=None if on_micro is None else compared(on_micro, _outputs(on_micro, path, inputs, expected)),
        states=states,
        states_note=note,
        saturated_inputs={
            name: saturated(array, runner.details[name]) / array.size
            for name, array in inputs.items()
            if runner.details[name]["quantization"][0]
        },
        worst=tuple((int(n), float(sample_errors[n])) for n in worst),
        sample_errors=sample_errors,
    )


def _outputs(runner, path, inputs, expected):
    """Returns the file's outputs in the shapes of Keras'."""
    actual = runner(inputs)
    actual = list(actual.values()) if isinstance(actual, dict) else [actual]
    if runner.streaming:  # a model that gives its last output only is compared at the last step
        actual = [a if a.ndim == e.ndim else a[:, -1] for a, e in zip(actual, expected, strict=True)]
    shapes = [[array.shape for array in outputs] for outputs in (actual, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"path: {str(path)!r} gives outputs of the shapes {shapes[0]}, the model {shapes[1]}."
        )
    return actual


def _as_labels(y, expected):
    shape = expected[0].shape[:-1]
    y = np.asarray(y)
    if y.shape == (*shape, 1):
        y = y[..., 0]
    if len(expected) != 1 or y.shape != shape or predictions(expected[0], expected[0]) is None:
        raise ValueError(
            f"y: expected class labels of shape {shape} for a model with one classifying output, "
            f"received shape {y.shape} for {len(expected)} outputs."
        )
    return y


def _show(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _line(figures):
    line = f"error max {_show(figures.max_error)}, mean {_show(figures.mean_error)}"
    if figures.scale is not None:
        line += f" ({figures.max_steps:.2g} and {figures.mean_steps:.2g} steps of {figures.scale:.3g})"
        line += f"; {figures.saturated / figures.values:.1%} saturated"
    if figures.agreement is not None:
        line += f"; agreement {figures.agreement:.2%}"
    return line
