"""Runs an exported model. Needs numpy and ai-edge-litert only."""

import os
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class Runner:
    """Runs a `.tflite` file on arrays, one sample an invoke, quantizing and dequantizing as the file says.

    ```python
    runner = Runner("model.tflite")
    probabilities = runner(x)
    ```

    Args:
        path: the file.
        threads: how many threads the interpreter may use.

    Attributes:
        inputs, outputs: the names of the model's inputs and outputs.
        seconds: how long each invoke of the last call took, without quantizing and copying.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TFLite model, or one that the interpreter can't run.
    """

    def __init__(self, path, threads=1):
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads={threads!r}: expected a positive integer.")
        if not os.path.isfile(path):
            raise FileNotFoundError(f"path: there is no file {str(path)!r}.")
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            signature = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"path: {str(path)!r} is not a TFLite model with one signature: {error}"
            ) from error
        # A signature lists its tensors by name; the model's own order is that of the file.
        self._inputs = _in_order(signature.get_input_details(), self._interpreter.get_input_details())
        self._outputs = _in_order(signature.get_output_details(), self._interpreter.get_output_details())
        self.inputs, self.outputs = list(self._inputs), list(self._outputs)
        self.seconds = np.zeros(0)

    def __call__(self, x):
        """Runs every sample.

        Args:
            x: an array (samples, ...), or a dictionary input name -> array for several inputs; real values, or
                integers for inputs that are not quantized, such as token ids.

        Returns:
            The outputs as float32 (samples, ...); a dictionary output name -> array for several outputs.

        Raises:
            ValueError: an input is missing or has another shape than the file takes.
        """
        arrays = self._arrays(x)
        samples = len(next(iter(arrays.values())))
        results = {name: [] for name in self.outputs}
        self.seconds = np.zeros(samples)
        for n in range(samples):
            for name, detail in self._inputs.items():
                self._interpreter.set_tensor(detail["index"], quantize(arrays[name][n : n + 1], detail))
            start = time.perf_counter()
            self._interpreter.invoke()
            self.seconds[n] = time.perf_counter() - start
            for name, detail in self._outputs.items():
                results[name].append(dequantize(self._interpreter.get_tensor(detail["index"]), detail))
        stacked = {name: np.concatenate(pieces) for name, pieces in results.items()}
        return stacked if len(stacked) > 1 else stacked[self.outputs[0]]

    def _arrays(self, x):
        if not isinstance(x, dict):
            listed = [x] if len(self.inputs) == 1 else list(x)
            if len(listed) != len(self.inputs):
                raise ValueError(
                    f"x: expected {len(self.inputs)} arrays for {self.inputs}, received {len(listed)}."
                )
            x = dict(zip(self.inputs, listed, strict=True))
        if set(x) != set(self.inputs):
            raise ValueError(f"x: expected the inputs {self.inputs}, received {sorted(x)}.")
        arrays = {name: np.asarray(array) for name, array in x.items()}
        for name, array in arrays.items():
            expected = tuple(int(n) for n in self._inputs[name]["shape"][1:])
            if array.shape[1:] != expected or len(array) == 0:
                raise ValueError(
                    f"x: input {name!r} takes the shape (samples, {', '.join(map(str, expected))}) with at least one "
                    f"sample, received {array.shape}."
                )
        if len({len(array) for array in arrays.values()}) > 1:
            raise ValueError(f"x: different numbers of samples: { {n: len(a) for n, a in arrays.items()} }.")
        return arrays


def _in_order(named, ordered):
    names = {detail["index"]: name for name, detail in named.items()}
    return {names[detail["index"]]: detail for detail in ordered}


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
