"""Runs an exported model. Needs NumPy and ai-edge-litert only."""

import os
import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vrnn import _checks as checks
from keras_vrnn import _progress as progress
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.describing import card_of
from keras_vrnn.tflite.reading import LENGTH, state_pairs
from keras_vrnn.tflite.running.engines import LiteRT, dequantize, quantize


class Runner:
    """Runs a `.tflite` file on arrays: quantizes what goes in and dequantizes what comes out.

    ```python
    runner = Runner("model.tflite")
    probabilities = runner(x)  # whole sequences, one batch of the file's size per invoke

    runner = Runner("streaming.tflite")
    for x_t in sensor:
        y_t = runner.step(x_t)
    runner.reset()  # before the next sequence
    ```

    A file that `export` wrote is checked against its digest. A file of another program is first run in a process of
    its own, which shows whether it crashes; that takes a fraction of a second.

    Args:
        path: the file.
        threads: how many threads the interpreter may use.

    Attributes:
        inputs, outputs: the names of the model's inputs and outputs, without states and length.
        streaming: whether each invoke continues from the state of the last one.
        chunk: how many time steps one invoke of a streaming file takes; None for any other.
        max_timesteps: how many time steps a file takes at most that takes any number; None for any other.
        batch: how many samples or streams one invoke takes; None if any number.
        details: name of an input, output or state -> its "shape", "dtype" and "quantization" (scale, zero point); an
            output hides an input of the same name.
        input_details, output_details: the same of the inputs and of the outputs alone, with states.
        seconds: the duration of each invoke of the last call, without quantizing and copying.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a TFLite model, is damaged, or can't be run by the interpreter.
    """

    inputs: list[str]
    outputs: list[str]
    streaming: bool
    chunk: int | None
    max_timesteps: int | None
    batch: int | None
    details: dict[str, dict[str, Any]]
    input_details: dict[str, dict[str, Any]]
    output_details: dict[str, dict[str, Any]]
    seconds: np.ndarray

    def __init__(self, path: str | os.PathLike[str], threads: int = 1):
        self._start(LiteRT(path, checks.positive_int("threads", threads)))

    def _start(self, engine):
        self._engine = engine
        self.input_details, self.output_details = engine.inputs, engine.outputs
        self.details = engine.inputs | engine.outputs
        pairs = state_pairs(engine.inputs, engine.outputs)
        # A state has one format on its way in and out, so what came out goes in again as it is.
        self._states = {name: (engine.inputs[name], engine.outputs[out]) for name, out in pairs.items()}
        self._timed = engine.timed
        self._length = engine.inputs[LENGTH] if self._timed else None
        internal = {*pairs, *([LENGTH] if self._length else [])}
        self._inputs = {name: detail for name, detail in engine.inputs.items() if name not in internal}
        self._outputs = {n: detail for n, detail in engine.outputs.items() if n not in pairs.values()}
        self.inputs, self.outputs = list(self._inputs), list(self._outputs)
        self.streaming = bool(self._states) or engine.can_reset
        axes = 2 if self.streaming else 1
        for name in self.inputs:
            if len(self._shape(name)) < axes:
                expected = "(batch, 1, ...)" if self.streaming else "(batch, ...)"
                raise ValueError(
                    f"`path` must be a file whose inputs have the shape {expected}. Input {name!r} has the shape "
                    f"{self._shape(name)}."
                )
        if not (self.inputs and self.outputs):
            raise ValueError("`path` must be a file with an input and an output besides its states.")
        first = self._inputs[self.inputs[0]]
        self.batch = self._shape(self.inputs[0])[0]
        self.chunk = int(first["shape"][1]) if self.streaming else None
        timed = [detail for name, detail in self._inputs.items() if name in self._timed]
        self.max_timesteps = int(timed[0]["shape"][1]) if timed else None
        self.seconds = np.zeros(0)
        self.reset()

    def __repr__(self) -> str:
        def edges(details):
            return ", ".join(f"{name} {tuple(detail['shape'].tolist())}" for name, detail in details.items())

        kind = "one step per call" if self.streaming else "whole sequences"
        dtype = np.dtype(self._inputs[self.inputs[0]]["dtype"]).name
        return f"<Runner: {kind}, {dtype}; {edges(self._inputs)} -> {edges(self._outputs)}>"

    def __call__(
        self, x: ArrayLike | dict[str, ArrayLike] | list[ArrayLike]
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Runs every sample, each from the start.

        Args:
            x: an array (samples, ...), or a dictionary input name -> array for several inputs; real values, or
                integers for inputs that are not quantized, such as token ids. A streaming file takes (samples,
                time, ...) with any number of time steps, a multiple of `chunk`; a file with `max_timesteps` at most
                that many.

        Returns:
            The output as float32: (samples, ...), or (samples, time, ...) from a streaming file. With several
            outputs, a dictionary output name -> array.

        Raises:
            ValueError: an input is missing, has another shape than the file takes, or holds NaN.
        """
        arrays = self._by_name(x)
        for name, array in arrays.items():
            shape = self._shape(name)[1:]
            expected = ("samples", "time", *shape[1:]) if self.streaming else ("samples", *shape)
            if not _fits(array, expected) or array.size == 0:
                raise _wrong_shape(name, expected, array)
        self._check_steps(arrays)
        samples = len(next(iter(arrays.values())))
        batch = self.batch or samples
        parts, seconds = [], []
        for start in progress.counted(range(0, samples, batch)):
            # The last batch is filled up with its own last sample; the surplus outputs are cut off below.
            rows = np.minimum(np.arange(start, start + batch), samples - 1)
            parts.append(self._from_zero({name: array[rows] for name, array in arrays.items()}))
            seconds.append(self.seconds)
        self.reset()
        self.seconds = np.concatenate(seconds)
        return self._result({n: np.concatenate([part[n] for part in parts])[:samples] for n in self.outputs})

    def step(self, x_t: ArrayLike | dict[str, ArrayLike]) -> np.ndarray | dict[str, np.ndarray]:
        """Runs one time step of a streaming file, or one chunk, from the state that the last one left.

        Args:
            x_t: the step's input (features,), a scalar for a token id, or a dictionary input name -> value; of a file
                that takes chunks, (chunk, features). With a leading batch axis it holds one step of each stream, as
                many as the file's batch size.

        Returns:
            The step's output as float32 without time axis, or with that of the chunk, and with a batch axis if `x_t`
            has one. With several outputs, a dictionary.
        """
        if not self.streaming:
            raise ValueError(
                "`step` needs a streaming file, but this file takes whole sequences. Export it with form='streaming'."
            )
        arrays = self._by_name(x_t)
        one = self.chunk == 1
        rank = {name: len(self._shape(name)) - one for name in arrays}  # with batch axis
        batched = all(array.ndim == rank[name] for name, array in arrays.items())
        for name, array in arrays.items():
            batch, chunk, *features = self._shape(name)
            shape = features if one else (chunk, *features)
            if not _fits(array, (batch, *shape) if batched else shape) or (not batched and batch != 1):
                raise _wrong_shape(
                    name,
                    shape if batch == 1 else ("streams" if batch is None else batch, *shape),
                    array,
                )
        whole = {n: array if batched else array[None] for n, array in arrays.items()}
        outputs = self._invoke({n: array[:, None] if one else array for n, array in whole.items()})
        outputs = {n: o[:, 0] if one and self._has_steps(o) else o for n, o in outputs.items()}
        return self._result({n: o if batched else o[0] for n, o in outputs.items()})

    def reset(self) -> None:
        """Sets the states of a streaming file to zero."""
        for source, _ in self._states.values():
            self._engine.set(source, quantize(np.zeros(self._engine.get(source).shape), source))
        if self._engine.can_reset:
            self._engine.reset()

    @property
    def card(self) -> Card | None:
        """The `Card` in the file, or None: names of classes and features, normalization, figures.

        `card.normalized(x)` gives what the model takes for readings, `card.likeliest(y)` the name of a class.
        """
        return card_of(self._engine.content)

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The states of a streaming file as real values: name -> (batch, units). Set it to continue from there."""
        return {
            name: dequantize(self._engine.get(source), source) for name, (source, _) in self._states.items()
        }

    @state.setter
    def state(self, states: dict[str, ArrayLike]) -> None:
        if set(states) != set(self._states):
            raise ValueError(
                f"`state` must be a dictionary with the keys {list(self._states)}. Received the keys {sorted(states)}"
            )
        for name, (source, _) in self._states.items():
            self._engine.set(source, quantize(np.asarray(states[name], np.float32), source))

    def _from_zero(self, arrays):
        """Runs one batch from the start: one invoke, or one per time step."""
        rows = len(next(iter(arrays.values())))
        shapes = {s["index"]: (rows, *s["shape"][1:]) for s, _ in self._states.values()}
        for name, array in arrays.items():
            length = (self.chunk,) if self.streaming else array.shape[1:2]
            shapes[self._inputs[name]["index"]] = (rows, *length, *array.shape[2:])
        if self._length:
            return self._any_length(arrays)
        self._engine.resize(shapes)
        self.reset()
        if not self.streaming:
            return self._invoke(arrays)
        steps, seconds = [], []
        for t in range(0, next(iter(arrays.values())).shape[1], self.chunk):
            made = self._invoke({name: a[:, t : t + self.chunk] for name, a in arrays.items()})
            steps.append({name: o if self._has_steps(o) else o[:, None] for name, o in made.items()})
            seconds.append(self.seconds)
        self.seconds = np.concatenate(seconds)
        return {name: np.concatenate([step[name] for step in steps], axis=1) for name in self.outputs}

    def _any_length(self, arrays):
        """Runs one batch in a file that takes any number of steps: fills the inputs up, cuts the outputs."""
        timed = [name for name in arrays if name in self._timed]
        steps = arrays[timed[0]].shape[1]
        self._engine.set(self._length, np.array([steps], np.int32))
        for name in timed:
            rest = self._filling(arrays[name], self.max_timesteps - steps)
            arrays[name] = np.concatenate([arrays[name], rest], axis=1)
        made = self._invoke(arrays)
        return {name: self._cut(o, steps) if name in self._timed else o for name, o in made.items()}

    def _cut(self, output, steps):
        """Returns the steps of an output that count."""
        return output[:, :steps]

    def _filling(self, array, steps):
        """Returns what fills an input up; the outputs do not depend on it."""
        return np.zeros((len(array), steps, *array.shape[2:]), array.dtype)

    def _has_steps(self, output):
        """Whether an output of a streaming file, (B, chunk, ...) or (B, units), has a time axis."""
        return output.ndim > 2 and output.shape[1] == self.chunk

    def _check_steps(self, arrays):
        lengths = {array.shape[: 1 + self.streaming] for array in arrays.values()}
        if self._length:
            lengths = {array.shape[:2] for name, array in arrays.items() if name in self._timed}
            lengths |= {(len(array), next(iter(lengths))[1]) for array in arrays.values()}
        if len(lengths) > 1:
            raise ValueError(
                f"`x` must have one number of samples and time steps for all inputs. Received: {sorted(lengths)}"
            )
        if not (self.streaming or self._length):
            return
        steps = lengths.pop()[1]
        if self._length and steps > self.max_timesteps:
            raise ValueError(
                f"`x` must have at most {self.max_timesteps} time steps, which the file was made for. "
                f"Received: {steps} steps. Export it with a larger `max_timesteps`."
            )
        if self.streaming and steps % self.chunk:
            raise ValueError(
                f"`x` must have a multiple of {self.chunk} time steps, the chunk that the file takes. "
                f"Received: {steps} steps."
            )

    def _invoke(self, arrays):
        """Invokes once on arrays of the file's own shapes, and carries the states over."""
        for name, detail in self._inputs.items():
            self._engine.set(detail, quantize(arrays[name], detail))
        start = time.perf_counter()
        self._engine.invoke()
        self.seconds = np.array([time.perf_counter() - start])
        for source, target in self._states.values():
            self._engine.set(source, self._engine.get(target))
        return {name: dequantize(self._engine.get(detail), detail) for name, detail in self._outputs.items()}

    def _shape(self, name):
        """Returns the shape of an input; None where the file takes any number."""
        shape = [None if n < 0 else int(n) for n in self._inputs[name]["shape_signature"]]
        return tuple(None if axis == 1 and name in self._timed else n for axis, n in enumerate(shape))

    def _by_name(self, x):
        if not isinstance(x, dict):
            listed = [x] if len(self.inputs) == 1 else list(x)
            if len(listed) != len(self.inputs):
                raise ValueError(
                    f"`x` must be {len(self.inputs)} arrays, one for each of {self.inputs}. Received {len(listed)}"
                )
            x = dict(zip(self.inputs, listed, strict=True))
        if set(x) != set(self.inputs):
            raise ValueError(f"`x` must hold the inputs {self.inputs}. Received: {sorted(x)}")
        return {name: _numbers(name, array, self._inputs[name]) for name, array in x.items()}

    def _result(self, outputs):
        return outputs if len(outputs) > 1 else outputs[self.outputs[0]]


def _numbers(name, array, detail):
    """Returns an input as an array that can be quantized, or cast without loss."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"`x` must hold numbers. Received for input {name!r} an array of {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"`x` must be finite. Received for input {name!r} NaN or infinite values")
    integer = np.issubdtype(detail["dtype"], np.integer) and detail["quantization"][0] == 0.0
    if integer and not np.array_equal(array, array.astype(detail["dtype"])):
        raise ValueError(
            f"`x` must hold integers of {np.dtype(detail['dtype']).name} for input {name!r}. Received other numbers"
        )
    return array


def _fits(array, shape):
    """Returns whether an array has a shape; only the numbers in it count."""
    return array.ndim == len(shape) and all(
        n == expected or not isinstance(expected, int) for n, expected in zip(array.shape, shape, strict=True)
    )


def _wrong_shape(name, expected, array):
    shape = ", ".join("any" if n is None else str(n) for n in expected)
    return ValueError(
        f"`x` must have the shape ({shape}) with at least one sample for input {name!r}. Received the shape "
        f"{array.shape}"
    )
