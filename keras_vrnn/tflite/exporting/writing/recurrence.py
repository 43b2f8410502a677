"""Writes one recurrence of any cell in TFLite operators, as a WHILE loop or step by step. For the vanilla cell:

main    rows = FULLY_CONNECTED(x, W_x, b)           z_t of all time steps in one product
        WHILE t < T
body      r = FULLY_CONNECTED(h, W_h)               h: (B, 1, U)
          a = ADD(GATHER(rows, t), r)
          h = TANH(a)                               or SELECT_V2(mask_t, TANH(a), h)
          rows = DYNAMIC_UPDATE_SLICE(rows, h, [0, t, 0])
          t = t + 1

The size of the loop does not depend on T, and all its tensors have the number formats of the signals. If the layer
returns all outputs, h_t overwrites the row of z_t: the integers of `rows` are z from step t on, and h before it. If the
layer returns only the last state and x_t is smaller than z_t, `rows` is x and the loop computes each z_t, which takes
less memory. GATHER takes two thirds of the time of SLICE, and a second counter [0, t, 0] takes less time than computing
it from t; see docs/decisions/export.md. A layer that goes backwards counts t down.
"""

from dataclasses import dataclass

import numpy as np

from keras_vrnn.tflite.exporting.recurrences.base import State
from keras_vrnn.tflite.exporting.writing import lengths
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.loop import Loop


@dataclass
class _Operands:
    """The main tensors that a recurrence reads: rows z (B,T,U) or x (B,T,F); states (B,1,U); mask (B,T,1) or None.

    A single step has no time axis: z (B,U), states (B,U), mask (B,1). `length` (1,) is the number of steps, or None if
    it is that of the rows.
    """

    rows: tuple[int, ...]
    states: tuple[State, ...]
    mask: int | None
    length: int | None = None


def write(recurrence, formats, file, values, unrolled, length=None):
    """Adds a recurrence to the main graph of a model file.

    Args:
        recurrence: The `parts.Recurrence` to write.
        formats: Its number formats.
        file: The `flatbuffer.ModelFile` to write into.
        values: Value name -> index of its tensor in the main graph. It contains `x` and, if the recurrence has them,
            `mask` and `initial_states`, and receives the results.
        unrolled: Whether to write every step instead of a loop.
        length: The main tensor of the number of steps to run, int32 (1,); None for all.

    Returns:
        State -> the tensor of its last value in the format in which the recurrence keeps it.
    """
    main, mask, cell = file.main, recurrence.mask, recurrence.cell
    x, units = values[recurrence.x], cell.units
    batch, timesteps, _ = main.shape(x)
    single = unrolled and timesteps == 1
    inside = not unrolled and recurrence.sequence is None and cell.multiply_inside()
    shape = (batch, units) if single else (batch, 1, units)
    operands = _Operands(
        rows=(x,) if inside else cell.write_projections(main, recurrence.name, formats, x, flat=single),
        states=tuple(
            _initial_state(main, state, None if given is None else values[given], formats, shape)
            for state, given in zip(cell.states, recurrence.initial_states, strict=True)
        ),
        mask=None
        if mask is None
        else op.shaped(main, "mask", values[mask], (batch, 1) if single else (batch, timesteps, 1)),
        length=length,
    )
    if unrolled:
        sequence, last = _write_steps(recurrence, formats, file, operands)
    else:
        sequence, last = _write_loop(recurrence, formats, file, operands, inside)
    if recurrence.sequence is not None:
        shape = (batch, timesteps, units)
        values[recurrence.sequence] = op.shaped(main, "sequence", sequence, shape)
    for name, state, tensors in zip(recurrence.finals, cell.states, last, strict=True):
        if name is not None:
            value = _value(main, state, tensors, formats)
            values[name] = op.shaped(main, "final", value, (batch, units))
    return {state: tensors.kept for state, tensors in zip(cell.states, last, strict=True)}


def _initial_state(main, state, given, formats, shape):
    """Returns a state with a given value, as it is kept or as a signal, or of zeros."""
    name, held, signal = f"{state}_0", formats.state(state), (formats.dtype, formats.signal(state))
    if given is not None:
        given = op.shaped(main, name, given, shape)
    if held[0] == np.int32 and (given is None or main.dtype(given) != np.int32):
        value = _start(main, name, given, signal, shape)
        kept = (
            op.zeros(main, f"{name}/kept", shape, *held) if given is None else _in_int32(main, value, held[1])
        )
        return State(kept, value)
    kept = _start(main, name, given, held, shape)
    if held[0] == np.int32:
        return State(kept, op.in_format(main, f"{name}/value", kept, signal[1], signal[0]))
    return State(kept, kept if held == signal else None)


def _start(main, name, given, held, shape):
    dtype, quantization = held
    if given is None:
        return op.zeros(main, name, shape, dtype, quantization)
    return op.in_format(main, f"{name}/given", given, quantization, dtype)


def _in_int32(main, value, held):
    """Returns the integers of a signal, without their zero point, in a format of int32 that divides its steps."""
    name, form = "kept", main.quantization(value)
    integer = op.cast(main, name, value, np.int32)
    for operator, number in (("SUB", form.zero_point), ("MUL", round(form.scale / held.scale))):
        if number != (0 if operator == "SUB" else 1):
            constant = main.constant("integer", np.full((1,) * len(main.shape(value)), number, np.int32))
            add = op.subtract if operator == "SUB" else op.multiply
            integer = add(main, name, integer, constant, None)
    return integer


def _value(graph, state, tensors, formats):
    """Returns a state in the format in which the rest of the model reads it."""
    if tensors.value is not None:
        return tensors.value
    return op.in_format(graph, f"{state}/value", tensors.kept, formats.signal(state), formats.dtype)


class _CarriedState:
    """The variables of a loop for one state."""

    def __init__(self, loop, name, start):
        self._loop, is_one = loop, start.kept == start.value
        value = None if start.value is None else loop.carry(name, start.value)
        kept = value
        if not is_one:
            initial = (
                op.unquantized(loop.main, start.kept)
                if loop.main.dtype(start.kept) == np.int32
                else start.kept
            )
            kept = loop.carry(f"{name}_kept", initial)
        self.state = State(kept, value)

    def set(self, new):
        for variable, tensor in {self.state.kept: new.kept, self.state.value: new.value}.items():
            if variable is not None:
                self._loop.set(variable, tensor)

    def result(self, results):
        return State(
            *(None if each is None else results[each] for each in (self.state.kept, self.state.value))
        )


def _write_loop(recurrence, formats, file, operands, inside):
    """Returns the main tensors of all outputs (or None) and of the last states; with `inside`, the loop computes z."""
    main, name, cell = file.main, recurrence.name, recurrence.cell
    batch, timesteps, _ = main.shape(operands.rows[0])
    backwards, length = recurrence.go_backwards, operands.length
    start, stride = (timesteps - 1, -1) if backwards else (0, 1)
    loop = Loop(file, main, name)
    body = loop.body

    # Every turn of a loop that writes `rows` copies them twice: two steps per turn halve that.
    even = timesteps % 2 == 0 and length is None
    block = 2 if recurrence.sequence is not None and operands.mask is None and even else 1
    from_end = backwards and length is not None
    t = loop.count("t", lengths.last(main, length, [1]) if from_end else [start], [block * stride])
    rows = [loop.carry("rows", each) for each in operands.rows]
    states = [
        _CarriedState(loop, state, each) for state, each in zip(cell.states, operands.states, strict=True)
    ]
    position = keep = None
    if recurrence.sequence is not None or operands.mask is not None or formats.dtype == np.int16:
        # The first row of the turn in the order of time, in either direction.
        first = min(start, start + (block - 1) * stride)
        position = loop.count(
            "position",
            lengths.last(main, length, [0, 1, 0]) if from_end else [0, first, 0],
            [0, block * stride, 0],
        )
    # In TFLite Micro, SLICE supports int16 and bool, GATHER does not.
    if formats.dtype == np.int16 or block > 1:
        z = [op.slice_(body, "row", each, position, (batch, block, body.shape(each)[2])) for each in rows]
    else:
        z = [op.gather(body, "row", each, t) for each in rows]
    if inside:
        z = cell.write_projections(body, name, formats, *z)
    if operands.mask is not None:
        mask = loop.carry("mask", operands.mask)
        keep = op.slice_(body, "mask_t", mask, position, (batch, 1, 1))
    step, new, outputs = cell.write_step(body, name, formats), tuple(each.state for each in states), []
    turns = zip(*(op.halves(body, "z_t", each)[::stride] for each in z), strict=True) if block > 1 else [z]
    for z_t in turns:
        new, output = _masked_step(recurrence, formats, body, step, z_t, new, keep)
        outputs.append(output)
    for variables, state in zip(states, new, strict=True):
        variables.set(state)
    if recurrence.sequence is not None:
        written = op.concatenate(body, "h", outputs[::stride])
        loop.set(rows[-1], op.update(body, "next_rows", rows[-1], written, position))

    if backwards:
        results = loop.close("GREATER_EQUAL", 0)
    elif length is None:
        results = loop.close("LESS", timesteps)
    else:
        results = loop.close("LESS", variable=loop.carry("length", length))
    last = tuple(variables.result(results) for variables in states)
    if recurrence.sequence is None:
        return None, last
    sequence = results[rows[-1]]
    main.declare(sequence, formats.signal("h"))
    return (op.reverse(main, "sequence", sequence) if backwards else sequence), last


def _write_steps(recurrence, formats, file, operands):
    """Returns the main tensors of all outputs (or None) and of the last states."""
    main, name = file.main, recurrence.name
    steps = list(zip(*(op.split(main, f"{name}/z_t", each) for each in operands.rows), strict=True))
    masks = [None] * len(steps) if operands.mask is None else op.split(main, f"{name}/mask_t", operands.mask)
    order = range(len(steps))
    step, states, outputs = recurrence.cell.write_step(main, name, formats), operands.states, []
    for t in reversed(order) if recurrence.go_backwards else order:
        states, output = _masked_step(recurrence, formats, main, step, steps[t], states, masks[t])
        outputs.append(output)
    sequence = None if recurrence.sequence is None else op.concatenate(main, "sequence", outputs)
    return sequence, states


def _masked_step(recurrence, formats, graph, step, z_t, states, keep):
    """Returns the states and the output of one step; a masked step keeps the states, and may return zeros."""
    new = step(z_t, states)
    if keep is not None:
        new = tuple(_selected(graph, keep, *pair) for pair in zip(new, states, strict=True))
    if recurrence.sequence is None:
        return new, None
    output = _value(graph, recurrence.cell.states[0], new[0], formats)
    if keep is None or not recurrence.zero_output_for_mask:
        return new, output
    zero = op.zeros(graph, "zero", graph.shape(output), formats.dtype, formats.signal("h"))
    return new, op.select(graph, "output", keep, output, zero)


def _selected(graph, keep, new, old):
    """Returns the new state where a step is not masked, else the old one."""
    if graph.dtype(new.kept) == np.int32:  # SELECT_V2 of TFLite Micro lacks int32
        before = op.unquantized(graph, old.kept)
        moved = op.subtract(graph, "moved", op.unquantized(graph, new.kept), before, None)
        moved = op.multiply(graph, "moved", moved, op.cast(graph, "mask_number", keep, np.int32), None)
        kept = op.add(graph, "kept", before, moved, None)
    else:
        kept = op.select(graph, "kept", keep, new.kept, old.kept)
    if new.value == new.kept or new.value is None:
        return State(kept, None if new.value is None else kept)
    return State(kept, op.select(graph, "value", keep, new.value, old.value))
