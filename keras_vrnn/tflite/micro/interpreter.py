"""TFLite Micro on this machine: whether it runs a file, in how much memory, and with what outputs.

Needs the extra `micro` (package tflite-micro), whose reference kernels are those of a microcontroller without
optimized ones.
"""

import importlib.util
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from keras_vrnn.tflite.micro import trial as micro_trial
from keras_vrnn.tflite.reading import ITEM_SIZES, indices, read, text
from keras_vrnn.tflite.running.engines import RESET
from keras_vrnn.tflite.running.runner import Runner

# A kernel that loops for good on a damaged file must end some time; a real one takes milliseconds.
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Arena:
    """The working memory that TFLite Micro took for a file, in bytes, on this 64-bit machine.

    Attributes:
        total: what stays in use, as `print_allocations` reports it.
        activations: the part of it for signals, reused from operator to operator ("head").
        persistent: the part for the interpreter's own structures ("tail"). It holds pointers, so that a 32-bit
            device needs less; kernels made for a device may ask for more.
        smallest: the smallest arena with which the file was seen to run. Planning takes some memory that it gives
            back, so that this can be more than `total`; with less the interpreter crashes. None if it was not sought.
    """

    total: int
    activations: int
    persistent: int
    smallest: int | None


@dataclass(frozen=True)
class Attempt:
    """What came of running a file in TFLite Micro.

    Attributes:
        runs: whether it ran.
        reason: why not, as the interpreter says it; "" if it ran.
        arena: the `Arena`; None if it did not run.
    """

    runs: bool
    reason: str
    arena: Arena | None


def is_installed():
    """Tells whether the package tflite-micro is there."""
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
        smallest: also find the smallest arena that will do; a second or so more.

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
        return Attempt(False, f"no end after {_TIMEOUT_SECONDS} s", None)
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode == 0:
        return Attempt(True, "", _arena(said, int(done.stdout) if smallest else None))
    if done.returncode < 0:
        said = f"{said} the interpreter crashed ({signal.Signals(-done.returncode).name})"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return Attempt(False, "; ".join(lines[-3:]), None)


def _arena(said, smallest):
    def figure(part):
        return int(re.search(rf"Arena allocation {part} (\d+) bytes", said)[1])

    return Arena(figure("total"), figure("head"), figure("tail"), smallest)


def _plenty(content, model):
    """More than any plan needs: an interpreter that runs out of memory while it plans crashes."""
    signals = sum(
        int(np.prod(indices(tensor.shape), dtype=np.int64)) * ITEM_SIZES.get(tensor.type, 8)
        for subgraph in model.subgraphs
        for tensor in subgraph.tensors or []
    )
    return 4 * signals + 10 * len(content) + (1 << 20)


class MicroRunner(Runner):
    """A `Runner` on TFLite Micro instead of LiteRT. Files that `attempt` did not refuse.

    Raises:
        ImportError: the package tflite-micro is not installed.
        ValueError: it can't run the file.
    """

    def __init__(self, path):
        tried = attempt(path)
        if not tried.runs:
            raise ValueError(f"path: TFLite Micro can't run {str(path)!r}: {tried.reason}")
        self._start(_Micro(path))


class _Micro:
    """The TFLite Micro interpreter, as an engine (see `engines`)."""

    def __init__(self, path):
        from tflite_micro.python.tflite_micro import runtime  # type: ignore[import-untyped]

        content, model = read(path)
        self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=_plenty(content, model))
        self._values = {}
        names = _signature_names(model)
        self.inputs = self._details(model.subgraphs[0].inputs, names, self._interpreter.get_input_details)
        self.outputs = self._details(model.subgraphs[0].outputs, names, self._interpreter.get_output_details)
        self.can_reset = any(text(s.signatureKey) == RESET for s in model.signatureDefs or [])

    def _details(self, tensors, names, detail_of):
        details = {}
        for k, index in enumerate(indices(tensors)):
            detail = detail_of(k)
            parameters = detail["quantization_parameters"]
            scales, zero_points = parameters["scales"], parameters["zero_points"]
            quantization = (float(scales[0]), int(zero_points[0])) if len(scales) == 1 else (0.0, 0)
            shape = np.asarray(detail["shape"])
            details[names.get(index, str(index))] = {
                "index": k,
                "is_input": detail_of == self._interpreter.get_input_details,
                "shape": shape,
                "shape_signature": shape,
                "dtype": detail["dtype"],
                "quantization": quantization,
            }
        return details

    def resize(self, shapes):
        """Nothing: TFLite Micro takes the shapes of the file."""

    def set(self, detail, array):
        """Keeps an input until `invoke`: the interpreter may use its memory for other signals then."""
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
        self._interpreter.invoke()

    def reset(self):
        """Puts the states that the interpreter keeps back to zero."""
        self._interpreter.reset()


def _signature_names(model):
    """Index of a main tensor -> the name that the signature gives it."""
    for signature in model.signatureDefs or []:
        if signature.subgraphIndex == 0 and text(signature.signatureKey) != RESET:
            return {e.tensorIndex: text(e.name) for e in [*signature.inputs, *signature.outputs]}
    return {}
