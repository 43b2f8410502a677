"""The interpreters behind one interface: set inputs, invoke, get outputs. Needs NumPy and ai-edge-litert only.

An engine has
    inputs, outputs: name -> detail, in the file's order; a detail has "index", "shape", "shape_signature" (-1: any),
        "dtype" and "quantization" (scale, zero point), with scale 0.0 for a tensor that is not quantized;
    can_reset: whether it keeps states inside, which `reset` sets to zero;
    content: the bytes of the file;
    timed: the names of the inputs and outputs with a time axis, of a file that takes any number of steps.
"""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_vrnn.tflite import digest
from keras_vrnn.tflite.reading import RESET, edge_names, read, text, timed_names
from keras_vrnn.tflite.running import trial


class LiteRT:
    """The LiteRT interpreter."""

    def __init__(self, path, threads=1, argument="path"):
        content, model = read(path, argument)
        self.content = content
        try:
            if not digest.is_intact(content):  # another program wrote it: nothing shows that it is undamaged
                trial.survive(path)
            # The bytes that were checked, not the file, which may change meanwhile.
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"`{argument}` must be a file that LiteRT can run. Received: {argument}={os.fspath(path)!r}: {error}"
            ) from error
        self.can_reset = any(text(signature.signatureKey) == RESET for signature in model.signatureDefs or [])
        self.timed = timed_names(model)
        inputs, outputs = edge_names(model)
        self.inputs = dict(zip(inputs, self._interpreter.get_input_details(), strict=True))
        self.outputs = dict(zip(outputs, self._interpreter.get_output_details(), strict=True))

    def resize(self, shapes):
        """Gives inputs, by their index, other shapes where the file leaves them open."""
        details = {detail["index"]: detail for detail in self._interpreter.get_input_details()}
        changed = {i: shape for i, shape in shapes.items() if tuple(details[i]["shape"]) != tuple(shape)}
        try:
            for index, shape in changed.items():
                self._interpreter.resize_tensor_input(index, shape, strict=True)
            if changed:
                self._interpreter.allocate_tensors()
        except RuntimeError as error:
            raise ValueError(f"`x` must have a shape that the interpreter takes: {error}") from error

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
            raise ValueError(f"`x` must be an input that the interpreter takes: {error}") from error

    def reset(self):
        """Sets the states that the interpreter keeps to zero."""
        # Not stored: the interpreter refuses to run while a signature runner of it exists.
        try:
            self._interpreter.get_signature_runner(RESET)()
        except RuntimeError as error:
            raise ValueError(f"`path` must be a file whose states can be reset: {error}") from error


def quantize(real, detail):
    """Returns real values as the tensor holds them: round(real / scale) + zero point, saturated; others are cast."""
    dtype = detail["dtype"]
    scale, zero_point = detail["quantization"]
    if scale == 0.0:  # LiteRT's mark of a tensor that is not quantized
        return real.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(real / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(tensor, detail):
    """Returns what the tensor holds as real values: scale · (integer − zero point)."""
    scale, zero_point = detail["quantization"]
    if scale == 0.0:
        return tensor.astype(np.float32)
    return ((tensor.astype(np.float32) - zero_point) * scale).astype(np.float32)
