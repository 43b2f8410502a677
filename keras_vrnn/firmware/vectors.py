"""Integers that go into a file and those that come out, by the simulation: what a program in C must reproduce."""

from dataclasses import dataclass

import numpy as np

from keras_vrnn.tflite.reading import LENGTH
from keras_vrnn.tflite.running.engines import quantize
from keras_vrnn.tflite.running.simulator import Simulator, _Simulation


@dataclass(frozen=True)
class Vectors:
    """Inputs and outputs of consecutive calls.

    Attributes:
        samples: sequences; the states begin anew with each.
        steps: calls per sequence, 1 unless the file takes one time step a call.
        inputs, outputs: name -> integers (samples, steps, values), in the order of the file, without the states.
    """

    samples: int
    steps: int
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def given(self):
        """The bytes of the inputs, call after call."""
        return _bytes(self, self.inputs)

    @property
    def expected(self):
        """The bytes of the outputs, call after call."""
        return _bytes(self, self.outputs)


def _bytes(vectors, arrays):
    calls = (vectors.samples, vectors.steps, -1)
    parts = [np.ascontiguousarray(array).view(np.uint8).reshape(calls) for array in arrays.values()]
    return np.concatenate(parts, axis=-1).tobytes()


class _Whole(Simulator):
    """The simulation of a file's integers, with all that comes out, also beyond the steps that count."""

    def __init__(self, path):
        self._start(_Simulation(path, core=True))

    def filled(self, arrays):
        """Returns the inputs filled up to the largest number of steps, and the length for each sample."""
        made = {name: np.asarray(array) for name, array in arrays.items()}
        steps = next(made[name].shape[1] for name in made if name in self._timed)
        for name in (name for name in made if name in self._timed):
            rest = self._filling(made[name], self.max_timesteps - steps)
            made[name] = np.concatenate([made[name], rest], axis=1)
        return made | {LENGTH: np.full((len(next(iter(made.values()))), 1), steps, np.int32)}

    def _cut(self, output, steps):
        return output


def vectors_of(path, x) -> Vectors:
    """Returns the integers of arrays in the simulation of a file.

    Args:
        path: the file.
        x: an array for the only input, or a dictionary input name -> array; (samples, ...), of a streaming file
            (samples, time steps, ...). A file for any number of steps takes as many as there are.
    """
    simulator = _Whole(path)
    arrays = x if isinstance(x, dict) else {simulator.inputs[0]: x}
    made = simulator(arrays)
    made = made if isinstance(made, dict) else {simulator.outputs[0]: made}
    samples = len(made[simulator.outputs[0]]) // simulator.batch
    if simulator.max_timesteps:
        arrays = simulator.filled(arrays)
    steps = np.shape(arrays[simulator.inputs[0]])[1] // simulator.chunk if simulator.streaming else 1

    def calls(values, details):
        """Returns the integers of a tensor call by call; a file of several sequences takes a step of each."""
        held = quantize(np.asarray(values), details)
        return held.reshape(samples, simulator.batch, steps, -1).swapaxes(1, 2).reshape(samples, steps, -1)

    given = {
        name: calls(arrays[name], detail)
        for name, detail in simulator.input_details.items()
        if name in arrays
    }
    expected = {name: calls(made[name], simulator.output_details[name]) for name in simulator.outputs}
    return Vectors(samples, steps, given, expected)
