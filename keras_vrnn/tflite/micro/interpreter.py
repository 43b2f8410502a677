"""TFLite Micro on this machine: whether it runs a file, in how much memory, and with what outputs.

Needs the extra `micro` (package tflite-micro), which has the reference kernels of a microcontroller without optimized
kernels.
"""

import importlib.util
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from keras_vrnn.tflite.micro import trial as micro_trial
from keras_vrnn.tflite.reading import RESET, edge_names, indices, read, tensor_bytes, text, timed_names
from keras_vrnn.tflite.running.runner import Runner

# Ends a kernel that loops without end on a damaged file; others take milliseconds.
_TIMEOUT_SECONDS = 60
# More than any microcontroller has; a damaged shape may ask for anything.
_LARGEST_ARENA = 1 << 30


@dataclass(frozen=True)
class Arena:
    """The working memory that TFLite Micro took for a file, in bytes, on this 64-bit machine.

    Attributes:
        total: the memory that stays in use, as `print_allocations` reports it.
        activations: the part of it for signals, reused from operator to operator ("head").
        persistent: the part for the interpreter's own structures ("tail"). It holds pointers, so a 32-bit device
            needs less; kernels made for a device may ask for more.
        smallest: the smallest arena with which the file ran. Planning takes some memory and gives it back, so this
            can be more than `total`; with less the interpreter crashes. None if it was not measured.
    """

    total: int
    activations: int
    persistent: int
    smallest: int | None


@dataclass(frozen=True)
class Attempt:
    """The result of running a file in TFLite Micro.

    Attributes:
        runs: whether it ran.
        reason: why not, in the interpreter's words; "" if it ran.
        arena: the `Arena`; None if it did not run.
    """

    runs: bool
    reason: str
    arena: Arena | None


def is_installed():
    """Returns whether the package tflite-micro is installed."""
    return importlib.util.find_spec("tflite_micro") is not None


def require():
    """Raises ImportError with the command that installs the package."""
    if not is_installed():
        raise ImportError(
            "TFLite Micro is not installed. Install it with: pip install 'keras-vrnn[micro]' (package tflite-micro)."
        )


def attempt(path, smallest=False):
    """Runs a file once on zeros in TFLite Micro, in a process of its own.

    Args:
        path: the `.tflite` file.
        smallest: also find the smallest arena with which it runs, which takes about a second more.

    Returns:
        An `Attempt`.

    Raises:
        ImportError: the package tflite-micro is not installed.
        FileNotFoundError, ValueError: there is no file, or it is damaged.
    """
    require()
    content, model = read(path)
    command = [sys.executable, micro_trial.__file__, str(path), str(_plenty(content, model))]
    if smallest:
        command.append("--smallest")
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Attempt(False, f"it does not end within {_TIMEOUT_SECONDS} s", None)
    log = done.stderr.decode("utf-8", "replace")
    if done.returncode == 0:
        return Attempt(True, "", _arena(log, int(done.stdout) if smallest else None))
    if done.returncode < 0:
        log = f"{log} the interpreter crashed ({signal.Signals(-done.returncode).name})"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return Attempt(False, "; ".join(lines[-3:]), None)


def _arena(log, smallest):
    def size(part):
        return int(re.search(rf"Arena allocation {part} (\d+) bytes", log)[1])

    return Arena(size("total"), size("head"), size("tail"), smallest)


def _plenty(content, model):
    """Returns more bytes than any plan needs: an interpreter that runs out of memory while it plans crashes."""
    signals = sum(
        tensor_bytes(tensor.type, indices(tensor.shape)) or 8 * math.prod(indices(tensor.shape))
        for subgraph in model.subgraphs
        for tensor in subgraph.tensors or []
    )
    return min(4 * signals + 10 * len(content) + (1 << 20), _LARGEST_ARENA)


def refusal(path, reason):
    """Returns the error for a file that TFLite Micro can't run."""
    return ValueError(
        f"`path` must be a file that TFLite Micro can run. Received: path={os.fspath(path)!r}: {reason}"
    )


class MicroRunner(Runner):
    """A `Runner` on TFLite Micro instead of LiteRT.

    Raises:
        ImportError: the package tflite-micro is not installed.
        ValueError: it can't run the file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        tried = attempt(path)
        if not tried.runs:
            raise refusal(path, tried.reason)
        self._start(_Micro(path))


class _Micro:
    """The TFLite Micro interpreter, as an engine (see `engines`)."""

    def __init__(self, path):
        from tflite_micro.python.tflite_micro import runtime  # type: ignore[import-untyped]

        content, model = read(path)
        self.content = content
        self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=_plenty(content, model))
        self._values = {}
        self.timed = timed_names(model)
        inputs, outputs = edge_names(model)
        self.inputs = self._details(inputs, self._interpreter.get_input_details)
        self.outputs = self._details(outputs, self._interpreter.get_output_details)
        self.can_reset = any(text(s.signatureKey) == RESET for s in model.signatureDefs or [])

    def _details(self, names, detail_of):
        details = {}
        for k, name in enumerate(names):
            detail = detail_of(k)
            parameters = detail["quantization_parameters"]
            scales, zero_points = parameters["scales"], parameters["zero_points"]
            quantization = (float(scales[0]), int(zero_points[0])) if len(scales) == 1 else (0.0, 0)
            shape = np.asarray(detail["shape"])
            details[name] = {
                "index": k,
                "is_input": detail_of == self._interpreter.get_input_details,
                "shape": shape,
                "shape_signature": shape,
                "dtype": detail["dtype"],
                "quantization": quantization,
            }
        return details

    def resize(self, shapes):
        """Does nothing: TFLite Micro takes the shapes of the file."""

    def set(self, detail, array):
        """Stores an input until `invoke`, since the interpreter may use the memory of an input for other signals."""
        self._values[detail["index"]] = np.ascontiguousarray(array)

    def get(self, detail):
        """Returns a copy of an input or output."""
        if detail["is_input"]:
            return self._values.get(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        return self._interpreter.get_output(detail["index"])

    def invoke(self):
        """Computes the outputs."""
        for index, array in self._values.items():
            self._interpreter.set_input(array, index)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ValueError(f"`x` must be an input that TFLite Micro takes: {error}") from error

    def reset(self):
        """Sets the states that the interpreter keeps to zero."""
        self._interpreter.reset()
