"""The interpreters behind one face: set inputs, invoke, get outputs. Needs numpy and ai-edge-litert only.

An engine has
    inputs, outputs: name -> detail, in the file's order; a detail has "index", "shape", "shape_signature" (-1: any),
        "dtype" and "quantization" (scale, zero point), with scale 0.0 for a tensor that is not quantized;
    can_reset: whether it keeps states inside, which `reset` puts back to zero.
"""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter

# The signature that puts the variables of a streaming file with internal state back to zero.
RESET = "reset"


class LiteRT:
    """The LiteRT interpreter."""

    def __init__(self, path, threads=1):
        check_identifier(path)
        try:
            self._interpreter = Interpreter(model_path=os.fspath(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            signatures = self._interpreter.get_signature_list()
            self.can_reset = RESET in signatures
            main = [key for key in signatures if key != RESET]
            signature = self._interpreter.get_signature_runner(main[0]) if main else None
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"path: LiteRT can't run {str(path)!r}: {error}") from error
        # A signature lists its tensors by name; the model's own order is that of the file.
        self.inputs = _in_order(
            signature and signature.get_input_details(), self._interpreter.get_input_details()
        )
        self.outputs = _in_order(
            signature and signature.get_output_details(), self._interpreter.get_output_details()
        )

    def resize(self, shapes):
        """Gives inputs, by their index, other shapes where the file leaves them open."""
        details = {detail["index"]: detail for detail in self._interpreter.get_input_details()}
        changed = {i: shape for i, shape in shapes.items() if tuple(details[i]["shape"]) != tuple(shape)}
        for index, shape in changed.items():
            self._interpreter.resize_tensor_input(index, shape, strict=True)
        if changed:
            self._interpreter.allocate_tensors()

    def set(self, detail, array):
        """Writes an input."""
        self._interpreter.set_tensor(detail["index"], array)

    def get(self, detail):
        """Returns a copy of an input or output."""
        return self._interpreter.get_tensor(detail["index"])

    def invoke(self):
        """Computes the outputs."""
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ValueError(f"x: the interpreter can't take this input: {error}") from error

    def reset(self):
        """Puts the states that the interpreter keeps back to zero."""
        # Not kept: the interpreter does not run while anyone holds one of its signature runners.
        self._interpreter.get_signature_runner(RESET)()


def check_identifier(path):
    """Refuses a file that is missing or no TFLite model."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"path: there is no file {str(path)!r}.")
    with open(path, "rb") as file:
        head = file.read(8)
    if head[4:] != b"TFL3":
        raise ValueError(f"path: {str(path)!r} is not a TFLite model.")


def _in_order(named, ordered):
    """Names the tensors as the signature does, or, in a file without one, as the graph does."""
    names = {detail["index"]: name for name, detail in (named or {}).items()}
    return {names.get(detail["index"], detail["name"]): detail for detail in ordered}


def quantize(real, detail):
    """Real values as the tensor holds them: round(real / scale) + zero point, saturated; others are cast."""
    dtype = detail["dtype"]
    scale, zero_point = detail["quantization"]
    if scale == 0.0:  # LiteRT's mark of a tensor that is not quantized
        return real.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(real / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(tensor, detail):
    """What the tensor holds as real values: scale · (integer − zero point)."""
    scale, zero_point = detail["quantization"]
    if scale == 0.0:
        return tensor.astype(np.float32)
    return ((tensor.astype(np.float32) - zero_point) * scale).astype(np.float32)
