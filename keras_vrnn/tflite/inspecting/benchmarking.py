"""How fast a `.tflite` file runs on this machine, and what it takes: bytes of file and of working memory."""

import json
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from keras_vrnn.tflite.inspecting.inspection import sizes
from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.reading import read
from keras_vrnn.tflite.running.runner import Runner

_PERCENTILES = (50, 90, 99)
# Of a streaming file, whose sequences may have any length.
_STREAM_STEPS = 100


@dataclass(frozen=True)
class Benchmark:
    """Times and sizes of a `.tflite` file. Times are those of the interpreter, without quantizing and copying.

    Attributes:
        path, size: the file and its size in bytes.
        sizes: bytes of "weights", "operators" and "metadata", as in `Inspection`.
        streaming: whether one invoke takes one time step.
        steps: how many time steps a sequence has.
        batch: how many samples one invoke takes.
        threads: how many threads the interpreter was given.
        runs: how many sequences were timed.
        sequence_us: "p50", "p90" and "p99" of the microseconds a sequence takes.
        step_us: the same by time step: of a streaming file an invoke, else a sequence's time divided by `steps`.
        arena: what TFLite Micro needs; None if it can't run the file or is not installed.
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

    def to_dict(self):
        """Returns the figures as a dictionary for JSON."""
        return asdict(self) | {"path": str(self.path)}

    def to_json(self):
        """Returns the figures as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self):
        def times(figures):
            return ", ".join(f"{name} {value:,.2f}" for name, value in figures.items())

        lines = [
            f"{self.path}: {self.size:,} bytes ({', '.join(f'{k} {v:,}' for k, v in self.sizes.items())})",
            f"µs a time step  {times(self.step_us)}",
            f"µs a sequence   {times(self.sequence_us)}  ({self.steps} steps, batch {self.batch})",
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


def benchmark(path, threads=1, runs=200, warmup=20, steps=None):
    """Times a `.tflite` file on random data, and measures its size and its arena in TFLite Micro.

    Args:
        path: the file.
        threads: how many threads the interpreter may use.
        runs: how many sequences are timed.
        warmup: how many are run before, untimed.
        steps: time steps of a sequence; needed only where the file leaves them open. Of a streaming file 100 if None,
            else the length that the file is made for: the second axis of its first input.

    Returns:
        A `Benchmark`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TFLite model, the interpreter can't run it, or an argument is out of range.
    """
    for name, value, least in (("runs", runs, 1), ("warmup", warmup, 0), ("steps", steps or 1, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}: expected an integer of at least {least}.")
    content, model = read(path)
    runner = Runner(path, threads)
    length = _steps(runner, steps)
    data = _data(runner, length)
    seconds = []
    for run in range(warmup + runs):
        runner(data)
        if run >= warmup:
            seconds.append(runner.seconds)
    invokes = np.array(seconds) * 1e6  # (runs, invokes of a sequence)
    arena, note = _arena_of(path)
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
        step_us=_percentiles(invokes if runner.streaming else invokes / length),
        arena=arena,
        arena_note=note,
        machine=_machine(),
    )


def _steps(runner, steps):
    if runner.streaming:
        return steps or _STREAM_STEPS
    shape = runner.details[runner.inputs[0]]["shape_signature"]
    own = int(shape[1]) if len(shape) > 1 else 1
    if own < 0 and steps is None:
        raise ValueError("steps: the file leaves the number of time steps open; name one.")
    if own >= 0 and steps not in (None, own):
        raise ValueError(f"steps={steps!r}: the file is made for {own} time steps.")
    return own if own >= 0 else steps


def _data(runner, steps):
    """Random values; ids are 0 and 1, which any vocabulary has."""
    rng = np.random.default_rng(0)
    data = {}
    for name in runner.inputs:
        shape = [
            abs(int(n)) for n in runner.details[name]["shape_signature"]
        ]  # an open dimension (-1) becomes 1
        if len(shape) > 1 and (runner.streaming or runner.details[name]["shape_signature"][1] < 0):
            shape[1] = steps
        detail = runner.details[name]
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
