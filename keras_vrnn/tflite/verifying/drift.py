"""The error of each recurrence's state over time, which shows whether it grows.

A streaming file shows its states. A whole-sequence file does not, so the state is read from copies of the file in which
one loop ends after t steps and gives its state as an output; operators, weights and scales stay the same.

Needs the TensorFlow backend.
"""

import copy
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_vrnn.layers.stepping import run
from keras_vrnn.tflite.exporting.capture.observation import observe
from keras_vrnn.tflite.exporting.capture.preparation import prepared
from keras_vrnn.tflite.exporting.recurrences import cell_of, exported_layers
from keras_vrnn.tflite.exporting.writing import operators
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile
from keras_vrnn.tflite.reading import STATE_IN, constant_bytes, operator_name, read
from keras_vrnn.tflite.running.runner import Runner
from keras_vrnn.tflite.verifying.comparison import saturated

# How many samples are compared, and at how many time steps where each takes a copy of the file.
_SAMPLES, _TIMES = 64, 12
_PROBE = "probe"


@dataclass(frozen=True)
class Drift:
    """The error of one recurrence's state after some numbers of steps.

    Attributes:
        steps: the numbers of time steps after which the state was compared.
        mean_error: mean absolute error after each, over samples and units.
        max_error: the largest error after any of them.
        scale: the state's quantization step; None if it is not quantized.
        values, saturated: how many numbers were compared, and how many of the file's numbers are an end of their range.
    """

    steps: tuple[int, ...]
    mean_error: tuple[float, ...]
    max_error: float
    scale: float | None
    values: int
    saturated: int | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures as a dictionary for JSON."""
        return asdict(self)


def measure(model, path, runner, inputs):
    """Compares the states of every recurrence with Keras'.

    Args:
        model: the Keras model.
        path: the `.tflite` file.
        runner: a `Runner` of it.
        inputs: the file's name of each input -> array with the batch axis first, in the model's order.

    Returns:
        Layer name -> `Drift`, and "" or, where there is no drift to show, the reason.
    """
    if not exported_layers(model):
        return {}, "the model has no recurrence that is exported"
    if runner.max_timesteps is not None:
        return {}, "the file takes any number of steps; export it for one number"
    if runner.streaming and runner.chunk > 1:
        return {}, "an invoke takes several steps; export with chunk=1"
    inputs = few(inputs)
    model = prepared(model)  # from a zero state, in float32 and for any batch size
    calls = observe(model, [a.astype(t.dtype) for a, t in zip(inputs.values(), model.inputs, strict=True)])
    if runner.streaming:
        found = of_stream(runner, inputs) if runner.state else {}
        others = {f"{name}_{STATE_IN}" for call in calls for name in cell_of(call.layer).states[1:]}
        found = {name: each for name, each in found.items() if not name.endswith(tuple(others))}
        names, reason = list(found), "the states stay inside the interpreter; export with state='explicit'"
    else:
        found = _of_loops(path, inputs)
        names, reason = list(found), "the file does not hold a loop whose state can be read"
    units = [call.initial_states[0].shape[-1] for call in calls]
    if units != [found[name][1].shape[-1] for name in names]:
        return {}, reason
    drifts = {}
    for k, (name, call) in enumerate(zip(names, calls, strict=True)):
        steps, states, detail = found[name]
        label = call.layer.name
        drifts[f"{label}_{k}" if label in drifts else label] = _drift(
            _keras_states(call), steps, states, detail
        )
    return drifts, ""


def _drift(expected, steps, states, detail):
    error = np.abs(states - expected[:, np.asarray(steps) - 1])
    scale = detail["quantization"][0] or None
    return Drift(
        steps=tuple(map(int, steps)),
        mean_error=tuple(map(float, error.mean(axis=(0, 2)))),
        max_error=float(error.max()),
        scale=scale,
        values=error.size,
        saturated=None if scale is None else saturated(states, detail),
    )


def _keras_states(call):
    """All states h of one call of a layer: (samples, T, units), in the order computed."""
    cell = cell_of(call.layer)
    z = cell.project(call.x)
    mask = None if call.mask is None else call.mask.astype(bool)

    def step(t, states):
        made = cell.step(tuple(each[:, t] for each in z), states).signals
        return tuple(made[name] for name in cell.states)

    return run(step, call.initial_states, call.x.shape[1], mask, call.layer.go_backwards)[0]


def few(inputs):
    """Returns the first samples, whose states are compared."""
    return {name: array[:_SAMPLES] for name, array in inputs.items()}


def of_stream(runner, inputs):
    """Returns state name -> (steps, states, detail) of a streaming file with explicit state."""
    states = {name: [] for name in runner.state}
    samples, length = next(iter(inputs.values())).shape[:2]
    for start in range(0, samples, runner.batch):
        rows = np.minimum(np.arange(start, start + runner.batch), samples - 1)
        runner.reset()
        made = {name: [] for name in states}
        for t in range(length):
            runner.step({name: array[rows, t] for name, array in inputs.items()})
            for name, state in runner.state.items():
                made[name].append(state)
        for name, history in made.items():
            states[name].append(np.stack(history, axis=1))
    runner.reset()
    steps = np.arange(1, length + 1)
    return {n: (steps, np.concatenate(s)[:samples], runner.input_details[n]) for n, s in states.items()}


def _of_loops(path, inputs):
    """Returns number of the body -> (steps, states, detail) of each loop of a whole-sequence file, in order of call."""
    _, model = read(path)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for loop in _loops(model):
            made = []
            turns = np.unique(np.linspace(1, loop.length // loop.block, _TIMES).round().astype(int))
            steps = turns * loop.block
            for step in steps:
                probe = Path(folder) / "probe.tflite"
                probe.write_bytes(_probing(path, loop, int(step)))
                runner = Runner(probe)
                made.append(runner(inputs)[_PROBE])
            states = np.stack(made, axis=1)
            found[loop.body] = steps, states, runner.output_details[_PROBE]
    return found


@dataclass(frozen=True)
class _Loop:
    """A recurrence's loop: its WHILE, the comparison that ends it, and its last state in the main graph.

    It makes `length` steps, `block` per turn.
    """

    body: int
    operator: int
    comparison: str
    length: int
    block: int
    state: int


def _loops(model):
    """Returns the loops that hold a recurrence, in order of call, which is the order in which they were written."""
    main, loops = model.subgraphs[0], []
    for position, operator in enumerate(main.operators):
        if operator_name(model, operator) != "WHILE":
            continue
        options = operator.builtinOptions
        body = model.subgraphs[options.bodySubgraphIndex]
        variable, block = _state_variable(model, body), _stride(model, body)
        if variable is None or block is None:
            continue
        condition = model.subgraphs[options.condSubgraphIndex]
        comparison = operator_name(model, condition.operators[0])
        limit = condition.tensors[condition.operators[0].inputs[1]]
        if not constant_bytes(model, limit):  # a loop of another program
            continue
        if comparison == "LESS":
            length = _integer(model, limit)
        else:
            length = _integer(model, main.tensors[operator.inputs[0]]) + 1
        state = int(operator.outputs[variable])
        loops.append(_Loop(options.bodySubgraphIndex, position, comparison, length, block, state))
    return sorted(loops, key=lambda loop: loop.body)


def _state_variable(model, body):
    """Returns the position of the loop variable h, which h·W_h multiplies; None if there is none."""
    multiplied = {int(o.inputs[0]) for o in body.operators if operator_name(model, o) == "FULLY_CONNECTED"}
    return next((k for k, index in enumerate(body.inputs) if int(index) in multiplied), None)


def _stride(model, body):
    """Returns the change of the first variable, the time step, per turn; None if it is not a constant."""
    for operator in body.operators:
        if operator_name(model, operator) == "ADD" and operator.inputs[0] == body.inputs[0]:
            step = body.tensors[operator.inputs[1]]
            return abs(_integer(model, step)) if constant_bytes(model, step) else None
    return None


def _integer(model, tensor):
    """Returns the first element of an int32 constant."""
    return int(np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int32)[0])


def _probing(path, loop, step):
    """Returns the file with one loop ended after `step` steps and its state as an output."""
    file = ModelFile(Path(path).read_bytes())
    main, options = file.main, file.main.subgraph.operators[loop.operator].builtinOptions
    # A copy: loops of the same length may share their condition.
    condition = copy.deepcopy(file.model.subgraphs[options.condSubgraphIndex])
    file.model.subgraphs.append(condition)
    options.condSubgraphIndex = len(file.model.subgraphs) - 1
    # A forward loop runs while t < limit, from 0; a backward one while t >= limit, from T - 1.
    limit = condition.tensors[condition.operators[0].inputs[1]]
    limit.buffer = file.buffer(
        np.array([step if loop.comparison == "LESS" else loop.length - step], np.int32)
    )
    batch, *_, units = main.shape(loop.state)
    state = operators.reshape(main, _PROBE, loop.state, (batch, units))
    main.subgraph.outputs = [*main.subgraph.outputs, state]
    return file.pack()
