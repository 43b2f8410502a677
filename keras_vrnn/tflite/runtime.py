"""Runs an exported model. Needs numpy and ai-edge-litert only."""

import os
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

# The signature's names of a state: what goes in as "…state_in" comes out as "…state_out".
STATE_IN, STATE_OUT = "state_in", "state_out"


class Runner:
    """Runs a `.tflite` file on arrays, quantizing and dequantizing as the file says.

    ```python
    runner = Runner("model.tflite")
    probabilities = runner(x)  # whole sequences, one an invoke; a streaming file is run over all steps

    runner = Runner("streaming.tflite")
    for x_t in sensor:
        y_t = runner.step(x_t)
    runner.reset()  # before the next sequence
    ```

    Args:
        path: the file.
        threads: how many threads the interpreter may use.

    Attributes:
        inputs, outputs: the names of the model's inputs and outputs, states left out.
        streaming: whether the file takes one time step an invoke.
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
        inputs = _in_order(signature.get_input_details(), self._interpreter.get_input_details())
        outputs = _in_order(signature.get_output_details(), self._interpreter.get_output_details())
        # State in and state out of one format: what came out goes in again as it is.
        self._states = [
            (inputs.pop(name), outputs.pop(name.removesuffix(STATE_IN) + STATE_OUT))
            for name in list(inputs)
            if name.endswith(STATE_IN)
        ]
        self._inputs, self._outputs = inputs, outputs
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.streaming = bool(self._states)
        self.seconds = np.zeros(0)
        self.reset()

    def __call__(self, x):
        """Runs every sample, each from the start.

        Args:
            x: an array (samples, ...), or a dictionary input name -> array for several inputs; real values, or
                integers for inputs that are not quantized, such as token ids. A streaming file takes (samples,
                time, ...) with any number of time steps.

        Returns:
            The outputs as float32 (samples, ...), of a streaming file (samples, time, ...); a dictionary output
            name -> array for several outputs.

        Raises:
            ValueError: an input is missing or has another shape than the file takes.
        """
        arrays = self._by_name(x)
        for name, array in arrays.items():
            shape = self._shape(name)
            expected = ("samples", "time", *shape[1:]) if self.streaming else ("samples", *shape)
            if array.ndim != len(expected) or array.size == 0 or array.shape[-len(shape) :][1:] != shape[1:]:
                raise _wrong_shape(name, expected, array)
            if not self.streaming and array.shape[1:] != shape:
                raise _wrong_shape(name, expected, array)
        lengths = {array.shape[: 1 + self.streaming] for array in arrays.values()}
        if len(lengths) > 1:
            raise ValueError(f"x: different numbers of samples or time steps: {sorted(lengths)}.")
        seconds, rows = [], []
        for n in range(len(next(iter(arrays.values())))):
            self.reset()
            sample = {name: array[n : n + 1] for name, array in arrays.items()}
            steps = range(next(iter(sample.values())).shape[1]) if self.streaming else (slice(None),)
            outputs = []
            for t in steps:
                part = {name: array[:, [t]] if self.streaming else array for name, array in sample.items()}
                outputs.append(self._invoke(part))
                seconds.append(self.seconds[0])
            rows.append([_without_time(o) for o in outputs] if self.streaming else outputs[0])
        self.reset()
        self.seconds = np.array(seconds)
        return self._result(
            {
                name: np.stack([np.stack([step[name] for step in row]) for row in rows])
                if self.streaming
                else np.concatenate([row[name] for row in rows])
                for name in self.outputs
            }
        )

    def step(self, x_t):
        """Runs one time step of a streaming file, from the state that the last step left.

        Args:
            x_t: the step's input (features,), a scalar for a token id, or a dictionary input name -> value.

        Returns:
            The step's output as float32 without batch and time axes; a dictionary for several outputs.
        """
        if not self.streaming:
            raise ValueError("step: the file takes whole sequences; export it with form='streaming'.")
        arrays = self._by_name(x_t)
        for name, array in arrays.items():
            if array.shape != self._shape(name)[1:]:
                raise _wrong_shape(name, self._shape(name)[1:], array)
        return self._result(_without_time(self._invoke({n: a[None, None] for n, a in arrays.items()})))

    def reset(self):
        """Puts the states of a streaming file back to zero."""
        for source, _ in self._states:
            self._interpreter.set_tensor(source["index"], quantize(np.zeros(source["shape"]), source))

    def _invoke(self, arrays):
        """One invoke on arrays of the file's own shapes; carries the states on."""
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], quantize(arrays[name], detail))
        start = time.perf_counter()
        self._interpreter.invoke()
        self.seconds = np.array([time.perf_counter() - start])
        for source, target in self._states:
            self._interpreter.set_tensor(source["index"], self._interpreter.get_tensor(target["index"]))
        return {
            name: dequantize(self._interpreter.get_tensor(detail["index"]), detail)
            for name, detail in self._outputs.items()
        }

    def _shape(self, name):
        """The shape of an input without its batch axis."""
        return tuple(int(n) for n in self._inputs[name]["shape"][1:])

    def _by_name(self, x):
        if not isinstance(x, dict):
            listed = [x] if len(self.inputs) == 1 else list(x)
            if len(listed) != len(self.inputs):
                raise ValueError(
                    f"x: expected {len(self.inputs)} arrays for {self.inputs}, received {len(listed)}."
                )
            x = dict(zip(self.inputs, listed, strict=True))
        if set(x) != set(self.inputs):
            raise ValueError(f"x: expected the inputs {self.inputs}, received {sorted(x)}.")
        return {name: np.asarray(array) for name, array in x.items()}

    def _result(self, outputs):
        return outputs if len(outputs) > 1 else outputs[self.outputs[0]]


def _without_time(outputs):
    """Outputs of one step (1, 1, ...) or (1, units) without batch and time axes."""
    return {name: o[0, 0] if o.ndim > 2 else o[0] for name, o in outputs.items()}


def _wrong_shape(name, expected, array):
    shape = ", ".join(map(str, expected))
    return ValueError(
        f"x: input {name!r} takes the shape ({shape}) with at least one sample, received {array.shape}."
    )


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
