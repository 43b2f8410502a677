"""How fast a `.tflite` file runs on this machine, and how much memory it takes."""

import json
import math
import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn import _progress
from keras_vrnn._shown import Shown
from keras_vrnn.tflite.inspecting.inspection import sizes
from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.reading import read
from keras_vrnn.tflite.running.runner import Runner

_PERCENTILES = (50, 90, 99)
# For a streaming file, whose sequences may have any length.
_STREAM_STEPS = 100


@dataclass(frozen=True, repr=False)
class Benchmark(Shown):
    """Times and sizes of a `.tflite` file. The times leave out quantizing and copying.

    Attributes:
        path, size: the file and its size in bytes.
        sizes: bytes of "weights", "operators" and "metadata", as in `Inspection`.
        streaming: whether one invoke takes one time step.
        steps: time steps per sequence.
        batch: samples per invoke.
        threads: threads of the interpreter.
        runs: how many sequences were timed.
        sequence_us: "p50", "p90" and "p99" of the microseconds per sequence.
        step_us: the same per time step: per invoke of a streaming file, otherwise a sequence's time divided by `steps`.
        arena: the memory that TFLite Micro needs; None if it can't run the file or is not installed.
        arena_note: why `arena` is None; "" if it isn't.
        machine: processor, operating system and the versions of Python and LiteRT.
    """

    path: Path
    size: int
    sizes: dict[str, int]
    streaming: bool
    steps: int
    batch: int
    threads: int
    runs: int
    sequence_us: dict[str, float]
    step_us: dict[str, float]
    arena: micro.Arena | None
    arena_note: str
    machine: str

    def to_dict(self) -> dict[str, Any]:
        """Returns times and sizes as a dictionary for JSON."""
        return asdict(self) | {"path": str(self.path)}

    def to_json(self) -> str:
        """Returns times and sizes as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self):
        def times(percentiles):
            return ", ".join(f"{name} {value:,.2f}" for name, value in percentiles.items())

        lines = [
            f"{self.path}: {self.size:,} bytes ({', '.join(f'{k} {v:,}' for k, v in self.sizes.items())})",
            f"µs per step     {times(self.step_us)}",
            f"µs per sequence {times(self.sequence_us)}  ({self.steps} steps, batch {self.batch})",
            f"threads         {self.threads}; {self.runs} sequences timed",
            f"arena           {self._arena()}",
            f"machine         {self.machine}",
        ]
        return "\n".join(lines)

    def _arena(self):
        if self.arena is None:
            return f"not measured, {self.arena_note}"
        return (
            f"{self.arena.total:,} bytes in use ({self.arena.activations:,} activations), "
            f"smallest that runs {self.arena.smallest:,}; TFLite Micro, 64-bit"
        )


def benchmark(
    path: str | os.PathLike[str],
    threads: int = 1,
    runs: int = 200,
    warmup: int = 20,
    steps: int | None = None,
    progress: bool = True,
) -> Benchmark:
    """Times a `.tflite` file on random data, and measures its size and its arena in TFLite Micro.

    Args:
        path: the file.
        threads: how many threads the interpreter may use.
        runs: how many sequences are timed.
        warmup: how many are run before, untimed.
        steps: time steps per sequence. Needed only where the file leaves them open: a streaming file takes 100 if
            None, rounded up to a multiple of its chunk, any other the length that it is made for, which is the second
            axis of its first input.
        progress: whether a terminal shows what is being done.

    Returns:
        A `Benchmark`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a TFLite model, the interpreter can't run it, or an argument is out of range.
    """
    runs = checks.positive_int("runs", runs)
    warmup = 0 if warmup == 0 else checks.positive_int("warmup", warmup)
    steps = None if steps is None else checks.positive_int("steps", steps)
    content, model = read(path)
    runner = Runner(path, threads)
    length = _steps(runner, steps)
    data = _data(runner, length)
    seconds = []
    with _progress.shown("benchmark", progress):
        _progress.stage("timing")
        for run in _progress.counted(range(warmup + runs)):
            runner(data)
            if run >= warmup:
                seconds.append(runner.seconds)
        _progress.stage("measuring the arena")
        arena, note = _arena_of(path)
    invokes = np.array(seconds) * 1e6  # (runs, invokes of a sequence)
    return Benchmark(
        path=Path(path),
        size=len(content),
        sizes=sizes(content, model),
        streaming=runner.streaming,
        steps=length,
        batch=runner.batch or 1,
        threads=threads,
        runs=runs,
        sequence_us=_percentiles(invokes.sum(axis=1)),
        step_us=_percentiles(invokes / (runner.chunk if runner.streaming else length)),
        arena=arena,
        arena_note=note,
        machine=_machine(),
    )


def _steps(runner, steps):
    if runner.streaming:
        return math.ceil((steps or _STREAM_STEPS) / runner.chunk) * runner.chunk  # whole chunks
    shape = runner.input_details[runner.inputs[0]]["shape_signature"]
    own = int(shape[1]) if len(shape) > 1 else 1
    if own < 0 and steps is None:
        raise ValueError(
            "`steps` must be a positive integer for this file, which leaves the number of time steps open."
        )
    if own >= 0 and steps not in (None, own):
        raise ValueError(
            f"`steps` must be {own}, the length that the file is made for. Received: steps={steps!r}"
        )
    return own if own >= 0 else steps


def _data(runner, steps):
    """Returns random values; token ids are 0 and 1, which any vocabulary has."""
    rng = np.random.default_rng(0)
    data = {}
    for name in runner.inputs:
        detail = runner.input_details[name]
        shape = [abs(int(n)) for n in detail["shape_signature"]]  # an open dimension (-1) becomes 1
        if len(shape) > 1 and (runner.streaming or detail["shape_signature"][1] < 0):
            shape[1] = steps
        ids = np.issubdtype(detail["dtype"], np.integer) and detail["quantization"][0] == 0.0
        data[name] = rng.integers(0, 2, shape) if ids else rng.normal(size=shape).astype(np.float32)
    return data


def _arena_of(path):
    if not micro.is_installed():
        return None, "TFLite Micro is not installed: pip install 'keras-vrnn[micro]'"
    tried = micro.attempt(path, smallest=True)
    return tried.arena, tried.reason and f"TFLite Micro can't run it: {tried.reason}"


def _percentiles(microseconds):
    return {f"p{p}": float(np.percentile(microseconds, p)) for p in _PERCENTILES}


def _machine():
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    except OSError:
        pass  # not Linux
    return (
        f"{processor}, {platform.system()}, Python {platform.python_version()}, "
        f"ai-edge-litert {metadata.version('ai-edge-litert')}"
    )
