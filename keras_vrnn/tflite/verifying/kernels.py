"""Where LiteRT's integers differ from those of TFLite Micro's reference kernels.

LiteRT runs most operators by XNNPACK, whose rounding is its own; a microcontroller runs the reference kernels.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_vrnn.tflite.micro import interpreter
from keras_vrnn.tflite.running.runner import Runner
from keras_vrnn.tflite.running.simulator import Simulator, refusal
from keras_vrnn.tflite.verifying import drift

# TFLite Micro and the simulation are compared on so few samples since the simulation is slow.
_SAMPLES = 64


@dataclass(frozen=True)
class Difference:
    """How one output or state of LiteRT differs from the kernels of TFLite Micro.

    Attributes:
        values: how many numbers were compared.
        different: how many of them differ.
        largest: the largest difference, in steps of `scale`; as it is if `scale` is None.
        scale: the quantization step; None if the output is not quantized.
        first_step: the first time step at which any sample differs, counted from 1; None if none differs or there is
            no time axis.
    """

    values: int
    different: int
    largest: float
    scale: float | None
    first_step: int | None

    @property
    def share(self) -> float:
        """The share of numbers that differ, 0 to 1."""
        return self.different / self.values

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures as a dictionary for JSON."""
        return asdict(self) | {"share": self.share}

    def __str__(self):
        if not self.different:
            return f"all {self.values:,} values equal"
        step = "step" if self.largest == 1 else "steps"
        unit = "" if self.scale is None else f" {step} of {self.scale:.3g}"
        first = "" if self.first_step is None else f", first at step {self.first_step}"
        return (
            f"{self.share:.2%} of {self.values:,} values differ, by at most {self.largest:.6g}{unit}{first}"
        )


class Kernels:
    """The kernels of TFLite Micro: its interpreter, or the simulation where it is not installed.

    Args:
        path: the `.tflite` file.

    Attributes:
        runner: a `Runner` of the kernels.
        note: what runs them, and what that was checked against.

    Raises:
        ValueError: TFLite Micro can't run the file; or it is not installed, and the simulation can't.
    """

    def __init__(self, path):
        self._path = path
        if not interpreter.is_installed():
            self.runner: Runner = Simulator(path)
            self._other = None
            self.note = "run by the simulation, since tflite-micro is not installed"
            return
        self.runner = interpreter.MicroRunner(path)
        reason = refusal(path)
        self._other = None if reason else Simulator(path)
        self.note = (
            f"run by tflite-micro alone; the simulation can't, since the file {reason}"
            if reason
            else "run by tflite-micro, to which the simulation is equal"
        )

    def outputs(self, inputs):
        """Runs the kernels, and compares the interpreter's first samples with the simulation's.

        Args:
            inputs: name of each input -> array, the batch axis first.

        Returns:
            Name of each output -> array.

        Raises:
            ValueError: the two differ.
        """
        outputs = named(self.runner, self.runner(inputs))
        if self._other is None:
            return outputs
        made = named(self._other, self._other({name: array[:_SAMPLES] for name, array in inputs.items()}))
        for name, output in made.items():
            different = int(np.count_nonzero(output != outputs[name][:_SAMPLES]))
            if different:
                raise ValueError(
                    "TFLite Micro and the simulation of its kernels must give the same integers. Received: "
                    f"path={os.fspath(self._path)!r}, whose output {name!r} differs in {different:,} of "
                    f"{output.size:,}. The package tflite-micro may be of another age than the simulation "
                    "(autumn 2026): install one of that time, or report this with the file."
                )
        return outputs

    def differences(self, runner, inputs, actual, outputs):
        """Compares LiteRT with the kernels.

        Args:
            runner: a `Runner` of the file on LiteRT.
            inputs: name of each input -> array.
            actual, outputs: name of each output -> what LiteRT and the kernels made.

        Returns:
            Name of each output, and of each state that a streaming file shows -> `Difference`.
        """
        found = {
            name: _difference(
                actual[name], output, runner.output_details[name], runner.streaming or output.ndim > 2
            )
            for name, output in outputs.items()
        }
        if not (runner.streaming and runner.state and runner.chunk == 1):
            return found
        samples = drift.few(inputs)
        ours, theirs = (drift.of_stream(each, samples) for each in (runner, self.runner))
        return found | {
            name: _difference(states, theirs[name][1], detail, True)
            for name, (_, states, detail) in ours.items()
        }


def named(runner, outputs):
    """Returns what a `Runner` made as output name -> array, also for one output."""
    return outputs if isinstance(outputs, dict) else {runner.outputs[0]: outputs}


def _difference(actual, kernels, detail, time_axis):
    """Compares two arrays of one shape, (samples, time, ...) if there is a time axis."""
    scale = detail["quantization"][0] or None
    error = np.abs(actual.astype(np.float64) - kernels)
    steps = np.nonzero(error.any(axis=(0, *range(2, error.ndim))))[0] if time_axis else []
    return Difference(
        values=error.size,
        different=int(np.count_nonzero(error)),
        largest=float(error.max()) if scale is None else float(np.rint(error.max() / scale)),
        scale=scale,
        first_step=int(steps[0]) + 1 if len(steps) else None,
    )
