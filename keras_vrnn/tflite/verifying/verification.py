"""Compares an exported model with its Keras original, sample by sample.

Needs the TensorFlow backend.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vrnn import _progress
from keras_vrnn._shown import Shown
from keras_vrnn.models.input_arrays import as_inputs
from keras_vrnn.tflite.running.runner import Runner
from keras_vrnn.tflite.verifying import drift, originals
from keras_vrnn.tflite.verifying.comparison import Comparison, compare, saturated
from keras_vrnn.tflite.verifying.kernels import Difference, Kernels, named
from keras_vrnn.tflite.verifying.truth import interpret

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

_WORST = 5
# What a card keeps: measures that do not depend on the machine.
_FIGURES = (
    "samples",
    "max_error",
    "mean_error",
    "agreement",
    "accuracy_keras",
    "accuracy_tflite",
    "mae_keras",
    "mae_tflite",
    "rmse_keras",
    "rmse_tflite",
)


@dataclass(frozen=True, repr=False)
class Verification(Shown):
    """How a `.tflite` file differs from the Keras model that it came from.

    With several outputs, each measure comes from the output where it is worst; `outputs` holds them all.

    Attributes:
        path: the file.
        size: its size in bytes.
        samples: how many samples were run through both.
        max_error, mean_error: absolute difference of the outputs.
        agreement: share (0 to 1) of predictions on which both agree: the class with the highest output, or the
            side of 0.5 for a single output between 0 and 1; None for other single outputs.
        accuracy_keras, accuracy_tflite: share of predictions that equal the labels; None without labels.
        mae_keras, mae_tflite: mean absolute error against the targets; None without real targets.
        rmse_keras, rmse_tflite: root of the mean squared error, likewise.
        microseconds: median duration of one invoke (one step of a streaming file) on this machine, one thread.
        outputs: output name -> `Comparison` on LiteRT.
        micro: the same on TFLite Micro; None if `micro` was False.
        micro_note: what ran the kernels of TFLite Micro, its interpreter or the simulation; "" if `micro` was False.
        kernels: name of an output, and of a state that a streaming file shows -> `Difference` of LiteRT from the
            kernels of TFLite Micro; None if `micro` was False.
        states: layer name -> `Drift`, the error of its state over time; empty if the state can't be read.
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
    mae_keras: float | None
    mae_tflite: float | None
    rmse_keras: float | None
    rmse_tflite: float | None
    microseconds: float
    outputs: dict[str, Comparison]
    micro: dict[str, Comparison] | None
    micro_note: str
    kernels: dict[str, Difference] | None
    states: dict[str, drift.Drift]
    states_note: str
    saturated_inputs: dict[str, float]
    worst: tuple[tuple[int, float], ...]
    sample_errors: np.ndarray = field(repr=False, compare=False)

    @property
    def figures(self) -> dict[str, float | str]:
        """The measures that have a value, of six digits, for the card of the file: `describe(path, figures=...)`."""
        measured = {name: getattr(self, name) for name in _FIGURES}
        return {
            name: float(f"{value:.6g}") if isinstance(value, float) else value
            for name, value in measured.items()
            if value is not None
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures as a dictionary for JSON, without `sample_errors`."""
        measures = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sample_errors"
        }
        measures["path"] = str(self.path)
        for name in ("outputs", "micro", "kernels", "states"):
            if measures[name] is not None:
                measures[name] = {key: value.to_dict() for key, value in measures[name].items()}
        return measures

    def to_json(self) -> str:
        """Returns the measures as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def plot(self, path: str | os.PathLike[str] | None = None, overwrite: bool = False) -> "Figure":
        """Draws the errors of the samples, and of outputs and states over time; returns the matplotlib Figure.

        Args:
            path: where to save the picture, in the format that its ending names; None to save nothing.
            overwrite: whether `path` may replace an existing file.

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
            "mae_keras": _show(self.mae_keras),
            "mae_tflite": _show(self.mae_tflite),
            "rmse_keras": _show(self.rmse_keras),
            "rmse_tflite": _show(self.rmse_tflite),
            "µs per invoke": _show(self.microseconds),
        }
        # Classes have an accuracy, real targets have errors; a measure without a value has no line.
        lines = [f"{name:16}{value}" for name, value in head.items() if value != "None"]
        for title, outputs in (("LiteRT", self.outputs), ("TFLite Micro", self.micro or {})):
            lines += [f"{title}, output {name}: {_line(output)}" for name, output in outputs.items()]
        if self.micro_note:
            lines.append(f"TFLite Micro: {self.micro_note}")
        for name, different in (self.kernels or {}).items():
            lines.append(f"LiteRT against TFLite Micro, {name}: {different}")
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


def verify(
    model: "keras.Model",
    path: str | os.PathLike[str],
    x: ArrayLike | list[ArrayLike] | dict[str, ArrayLike],
    y: ArrayLike | list[ArrayLike] | dict[str, ArrayLike] | None = None,
    micro: bool = False,
    progress: bool = True,
) -> Verification:
    """Runs `x` through the Keras model and the exported file, and returns how far they differ.

    Every sample starts from a zero state in both, also in a stateful model, whose states are as before afterwards. A
    model in half precision is compared in float32, as it was exported.

    Args:
        model: the Keras model.
        path: the `.tflite` file that `export` wrote.
        x: inputs, the batch axis first; a list or a dictionary by input name for several inputs.
        y: the right answers; a list or a dictionary by output name for several outputs. Labels are class indices
            (samples,) or, for outputs per time step, (samples, time); 0 and 1 for a single output between 0 and 1; or
            one-hot vectors. They give the accuracy of both. Real targets of the output's shape (a last axis of length
            1 may be left out) give the mean absolute error and the root mean squared error of both.
        micro: run the file in TFLite Micro too, and report where LiteRT's integers differ. The interpreter of TFLite
            Micro (extra `micro`) and the simulation of its kernels (`kv.tflite.simulate`) must agree on the first 64
            samples. Without the extra, the simulation runs all samples.
        progress: whether a terminal shows what is being done.

    Returns:
        A `Verification`.

    Raises:
        FileNotFoundError: there is no file `path`.
        ValueError: the file is not a TFLite model; `x` or `y` do not fit the model; TFLite Micro can't run the file, or
            differs from the simulation.
    """
    with _progress.shown("verify", progress):
        return _verified(model, path, x, y, micro)


def _verified(model, path, x, y, micro):
    runner = Runner(path)
    kernels = Kernels(path) if micro else None
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"`model` must be a built functional or Sequential Keras model. Received: a {type(model).__name__} without "
            "inputs"
        )
    arrays = as_inputs(model, x, "x")
    inputs = dict(zip(originals.input_names(model, runner), arrays, strict=True))
    _progress.stage("running Keras")
    outputs_of_keras = originals.outputs(model, arrays)
    expected = dict(zip(originals.output_names(outputs_of_keras, runner), outputs_of_keras, strict=True))
    _progress.stage("running LiteRT")
    made = named(runner, runner(inputs))
    actual = _fitted(made, runner, path, expected)
    microseconds = float(np.median(runner.seconds) * 1e6)
    truths = {} if y is None else _truths(y, expected)

    def compared(runner, outputs):
        return {
            name: compare(output, expected[name], runner.output_details[name], truths.get(name))
            for name, output in outputs.items()
        }

    outputs = compared(runner, actual)
    micro_outputs, differences = None, None
    if kernels is not None:
        _progress.stage("running TFLite Micro")
        on_micro = kernels.outputs(inputs)
        micro_outputs = compared(kernels.runner, _fitted(on_micro, kernels.runner, path, expected))
        differences = kernels.differences(runner, inputs, made, on_micro)
    _progress.stage("comparing states")
    states, note = drift.measure(model, path, runner, inputs)
    per_sample = [np.abs(actual[name] - e).max(axis=tuple(range(1, e.ndim))) for name, e in expected.items()]
    sample_errors = np.max(per_sample, axis=0)
    worst = np.argsort(-sample_errors, kind="stable")[:_WORST]
    accuracy = _worst(outputs, "accuracy", min)
    mae, rmse = _worst(outputs, "mae", max), _worst(outputs, "rmse", max)
    return Verification(
        path=Path(path),
        size=Path(path).stat().st_size,
        samples=len(arrays[0]),
        max_error=max(output.max_error for output in outputs.values()),
        mean_error=max(output.mean_error for output in outputs.values()),
        agreement=getattr(_worst(outputs, "agreement", min), "agreement", None),
        accuracy_keras=getattr(accuracy, "accuracy_keras", None),
        accuracy_tflite=getattr(accuracy, "accuracy", None),
        mae_keras=getattr(mae, "mae_keras", None),
        mae_tflite=getattr(mae, "mae", None),
        rmse_keras=getattr(rmse, "rmse_keras", None),
        rmse_tflite=getattr(rmse, "rmse", None),
        microseconds=microseconds,
        outputs=outputs,
        micro=micro_outputs,
        micro_note="" if kernels is None else kernels.note,
        kernels=differences,
        states=states,
        states_note=note,
        saturated_inputs={
            name: saturated(array, runner.input_details[name]) / array.size
            for name, array in inputs.items()
            if runner.input_details[name]["quantization"][0]
        },
        worst=tuple((int(n), float(sample_errors[n])) for n in worst),
        sample_errors=sample_errors,
    )


def _worst(outputs, measure, worst):
    """Returns the `Comparison` of the output where a measure is worst; None where no output has it."""
    measured = [output for output in outputs.values() if getattr(output, measure) is not None]
    return worst(measured, key=lambda output: getattr(output, measure), default=None)


def _fitted(made, runner, path, expected):
    """Returns output name -> what the file made, in the shape of Keras' output and in the order of `expected`."""
    actual = {name: made[name] for name in expected}
    if runner.streaming:  # a model that gives its last output only is compared at the last step
        actual = {n: a if a.ndim == expected[n].ndim else a[:, -1] for n, a in actual.items()}
    shapes = [[array.shape for array in outputs.values()] for outputs in (actual, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`path` must be a file of the model. Received: path={os.fspath(path)!r} with outputs of the shapes "
            f"{shapes[0]}, the model gives {shapes[1]}"
        )
    return actual


def _truths(y, expected):
    """Returns output name -> `Truth`, of the outputs for which `y` holds something."""
    if isinstance(y, dict):
        if not set(y) <= set(expected):
            raise ValueError(f"`y` must have keys among the outputs {list(expected)}. Received: {sorted(y)}")
        return {name: interpret(part, expected[name], f"y[{name!r}]") for name, part in y.items()}
    if len(expected) == 1:
        return {name: interpret(y, output) for name, output in expected.items()}
    if not isinstance(y, (list, tuple)) or len(y) != len(expected):
        raise ValueError(
            f"`y` must be a list of {len(expected)} arrays or a dictionary by output name, for the outputs "
            f"{list(expected)}. Received: {type(y).__name__}"
        )
    parts = zip(y, expected.items(), strict=True)
    return {
        name: interpret(part, output, f"y[{name!r}]") for part, (name, output) in parts if part is not None
    }


def _show(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _line(output):
    line = f"error max {_show(output.max_error)}, mean {_show(output.mean_error)}"
    if output.scale is not None:
        line += f" ({output.max_steps:.2g} and {output.mean_steps:.2g} steps of {output.scale:.3g})"
        line += f"; {output.saturated / output.values:.1%} saturated"
    if output.agreement is not None:
        line += f"; agreement {output.agreement:.2%}"
    return line
