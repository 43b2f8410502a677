"""Runs an exported model. Needs numpy and ai-edge-litert only."""

import time

import numpy as np

from keras_vrnn.tflite.running.engines import LiteRT, dequantize, quantize

# The signature's names of a state: what goes in as "…state_in" comes out as "…state_out".
STATE_IN, STATE_OUT = "state_in", "state_out"


class Runner:
    """Runs a `.tflite` file on arrays, quantizing and dequantizing as the file says.

    ```python
    runner = Runner("model.tflite")
    probabilities = runner(x)  # whole sequences, one batch of the file's an invoke

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
        batch: how many samples or streams one invoke takes; None if any number.
        details: name of an input, output or state -> its "shape", "dtype" and "quantization" (scale, zero point).
        seconds: how long each invoke of the last call took, without quantizing and copying.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TFLite model, or one that the interpreter can't run.
    """

    def __init__(self, path, threads=1):
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads={threads!r}: expected a positive integer.")
        self._start(LiteRT(path, threads))

    def _start(self, engine):
        self._engine = engine
        inputs, outputs = dict(engine.inputs), dict(engine.outputs)
        # State in and state out of one format: what came out goes in again as it is.
        self._states = {
            name: (inputs.pop(name), outputs.pop(name.removesuffix(STATE_IN) + STATE_OUT))
            for name in list(inputs)
            if name.endswith(STATE_IN)
        }
        self._inputs, self._outputs = inputs, outputs
        self.details = engine.inputs | engine.outputs
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.streaming = bool(self._states) or engine.can_reset
        self.batch = self._shape(self.inputs[0])[0] if inputs else 1
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
            ValueError: an input is missing, has another shape than the file takes, or holds NaN.
        """
        arrays = self._by_name(x)
        for name, array in arrays.items():
            shape = self._shape(name)[1:]
            expected = ("samples", "time", *shape[1:]) if self.streaming else ("samples", *shape)
            if not _fits(array, expected) or array.size == 0:
                raise _wrong_shape(name, expected, array)
        lengths = {array.shape[: 1 + self.streaming] for array in arrays.values()}
        if len(lengths) > 1:
            raise ValueError(f"x: different numbers of samples or time steps: {sorted(lengths)}.")
        samples = lengths.pop()[0]
        batch = self.batch or samples
        parts, seconds = [], []
        for start in range(0, samples, batch):
            # The last batch is filled up with its own last sample, and what comes of that is cut off again.
            rows = np.minimum(np.arange(start, start + batch), samples - 1)
            parts.append(self._from_zero({name: array[rows] for name, array in arrays.items()}))
            seconds.append(self.seconds)
        self.reset()
        self.seconds = np.concatenate(seconds)
        return self._result({n: np.concatenate([part[n] for part in parts])[:samples] for n in self.outputs})

    def step(self, x_t):
        """Runs one time step of a streaming file, from the state that the last step left.

        Args:
            x_t: the step's input (features,), a scalar for a token id, or a dictionary input name -> value. With a
                leading batch axis it is one step of that many streams: as many as the file's batch size.

        Returns:
            The step's output as float32 without time axis, and with a batch axis if `x_t` has one; a dictionary
            for several outputs.
        """
        if not self.streaming:
            raise ValueError("step: the file takes whole sequences; export it with form='streaming'.")
        arrays = self._by_name(x_t)
        batched = all(array.ndim == len(self._shape(name)) - 1 for name, array in arrays.items())
        for name, array in arrays.items():
            batch, _, *features = self._shape(name)
            if not _fits(array, (batch, *features) if batched else features) or (not batched and batch != 1):
                raise _wrong_shape(
                    name,
                    features if batch == 1 else ("streams" if batch is None else batch, *features),
                    array,
                )
        outputs = self._invoke({n: a[:, None] if batched else a[None, None] for n, a in arrays.items()})
        return self._result({n: o if batched else o[0] for n, o in _without_time(outputs).items()})

    def reset(self):
        """Puts the states of a streaming file back to zero."""
        for source, _ in self._states.values():
            self._engine.set(source, quantize(np.zeros(self._engine.get(source).shape), source))
        if self._engine.can_reset:
            self._engine.reset()

    @property
    def state(self):
        """The states of a streaming file as real values: name -> (batch, units). Set it to go on from there."""
        return {
            name: dequantize(self._engine.get(source), source) for name, (source, _) in self._states.items()
        }

    @state.setter
    def state(self, states):
        if set(states) != set(self._states):
            raise ValueError(f"state: expected {list(self._states)}, received {sorted(states)}.")
        for name, (source, _) in self._states.items():
            self._engine.set(source, quantize(np.asarray(states[name], np.float32), source))

    def _from_zero(self, arrays):
        """Runs one batch from the start: one invoke, or one for each time step."""
        rows = len(next(iter(arrays.values())))
        shapes = {s["index"]: (rows, *s["shape"][1:]) for s, _ in self._states.values()}
        for name, array in arrays.items():
            length = (1,) if self.streaming else array.shape[1:2]
            shapes[self._inputs[name]["index"]] = (rows, *length, *array.shape[2:])
        self._engine.resize(shapes)
        self.reset()
        if not self.streaming:
            return self._invoke(arrays)
        steps, seconds = [], []
        for t in range(next(iter(arrays.values())).shape[1]):
            steps.append(_without_time(self._invoke({name: a[:, t : t + 1] for name, a in arrays.items()})))
            seconds.append(self.seconds)
        self.seconds = np.concatenate(seconds)
        return {name: np.stack([step[name] for step in steps], axis=1) for name in self.outputs}

    def _invoke(self, arrays):
        """One invoke on arrays of the file's own shapes; carries the states on."""
        for name, detail in self._inputs.items():
            self._engine.set(detail, quantize(arrays[name], detail))
        start = time.perf_counter()
        self._engine.invoke()
        self.seconds = np.array([time.perf_counter() - start])
        for source, target in self._states.values():
            self._engine.set(source, self._engine.get(target))
        return {name: dequantize(self._engine.get(detail), detail) for name, detail in self._outputs.items()}

    def _shape(self, name):
        """The shape of an input; None where the file takes any number."""
        return tuple(None if n < 0 else int(n) for n in self._inputs[name]["shape_signature"])

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
        return {name: _numbers(name, array, self._inputs[name]) for name, array in x.items()}

    def _result(self, outputs):
        return outputs if len(outputs) > 1 else outputs[self.outputs[0]]


def _numbers(name, array, detail):
    """Returns an input as an array that can be quantized, or cast without loss."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"x: input {name!r} takes numbers, received an array of {array.dtype}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"x: input {name!r} holds NaN or infinite values.")
    integer = np.issubdtype(detail["dtype"], np.integer) and detail["quantization"][0] == 0.0
    if integer and not np.array_equal(array, array.astype(detail["dtype"])):
        raise ValueError(f"x: input {name!r} takes integers of {np.dtype(detail['dtype']).name}.")
    return array


def _fits(array, shape):
    """Tells whether an array has a shape in which only numbers count."""
    return array.ndim == len(shape) and all(
        n == expected or not isinstance(expected, int) for n, expected in zip(array.shape, shape, strict=True)
    )


def _without_time(outputs):
    """Outputs of one step (B, 1, ...) or (B, units) without the time axis."""
    return {name: o[:, 0] if o.ndim > 2 and o.shape[1] == 1 else o for name, o in outputs.items()}


def _wrong_shape(name, expected, array):
    shape = ", ".join("any" if n is None else str(n) for n in expected)
    return ValueError(
        f"x: input {name!r} takes the shape ({shape}) with at least one sample, received {array.shape}."
    )
