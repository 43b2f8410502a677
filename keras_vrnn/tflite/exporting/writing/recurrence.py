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

from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.loop import Loop


@dataclass
class _Operands:
    """The main tensors that a recurrence reads: rows z (B,T,U) or x (B,T,F); states (B,1,U); mask (B,T,1) or None.

    A single step has no time axis: z (B,U), states (B,U), mask (B,1).
    """

    rows: tuple[int, ...]
    states: tuple[int, ...]
    mask: int | None


def write(recurrence, formats, file, values, unrolled):
    """Adds a recurrence to the main graph of a model file.

    Args:
        recurrence: The `parts.Recurrence` to write.
        formats: Its number formats.
        file: The `flatbuffer.ModelFile` to write into.
        values: Value name -> index of its tensor in the main graph. It contains `x` and, if the recurrence has them,
            `mask` and `initial_states`, and receives the results.
        unrolled: Whether to write every step instead of a loop.

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
            _initial_state(state, given, formats, main, values, shape)
            for state, given in zip(cell.states, recurrence.initial_states, strict=True)
        ),
        mask=None
        if mask is None
        else op.shaped(main, "mask", values[mask], (batch, 1) if single else (batch, timesteps, 1)),
    )
    if unrolled:
        sequence, last = _write_steps(recurrence, formats, file, operands)
    else:
        sequence, last = _write_loop(recurrence, formats, file, operands, inside)
    if recurrence.sequence is not None:
        shape = (batch, timesteps, units)
        values[recurrence.sequence] = op.shaped(main, "sequence", sequence, shape)
    for name, state, tensor in zip(recurrence.finals, cell.states, last, strict=True):
        if name is not None:
            value = _as_value(main, "final", tensor, formats, state)
            values[name] = op.shaped(main, "final", value, (batch, units))
    return dict(zip(cell.states, last, strict=True))


def _initial_state(state, given, formats, main, values, shape):
    """Returns the given initial state in the recurrence's own format, or zeros."""
    name, (dtype, quantization) = f"{state}_0", formats.state(state)
    if given is None:
        return op.zeros(main, name, shape, dtype, quantization)
    return op.shaped(
        main, name, op.in_format(main, f"{name}/given", values[given], quantization, dtype), shape
    )


def _as_value(graph, name, tensor, formats, state):
    """Returns a state in the format in which the rest of the model reads it."""
    return op.in_format(graph, name, tensor, formats.signal(state), formats.dtype)


def _write_loop(recurrence, formats, file, operands, inside):
    """Returns the main tensors of all outputs (or None) and of the last states; with `inside`, the loop computes z."""
    main, name, cell = file.main, recurrence.name, recurrence.cell
    batch, timesteps, _ = main.shape(operands.rows[0])
    backwards = recurrence.go_backwards
    start, stride = (timesteps - 1, -1) if backwards else (0, 1)
    loop = Loop(file, main, name)
    body = loop.body

    # Every turn of a loop that writes `rows` copies them twice: two steps per turn halve that.
    block = 2 if recurrence.sequence is not None and operands.mask is None and timesteps % 2 == 0 else 1
    t = loop.count("t", [start], [block * stride])
    rows = [loop.carry("rows", each) for each in operands.rows]
    states = [loop.carry(state, each) for state, each in zip(cell.states, operands.states, strict=True)]
    position = keep = None
    if recurrence.sequence is not None or operands.mask is not None or formats.dtype == np.int16:
        # The first row of the turn in the order of time, in either direction.
        first = min(start, start + (block - 1) * stride)
        position = loop.count("position", [0, first, 0], [0, block * stride, 0])
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
    step, new, outputs = cell.write_step(body, name, formats), tuple(states), []
    turns = zip(*(op.halves(body, "z_t", each)[::stride] for each in z), strict=True) if block > 1 else [z]
    for z_t in turns:
        new, output = _masked_step(recurrence, formats, body, step, z_t, new, keep)
        outputs.append(output)
    for state, value in zip(states, new, strict=True):
        loop.set(state, value)
    if recurrence.sequence is not None:
        written = op.concatenate(body, "h", outputs[::stride])
        loop.set(rows[-1], op.update(body, "next_rows", rows[-1], written, position))

    results = loop.close("GREATER_EQUAL", 0) if backwards else loop.close("LESS", timesteps)
    last = tuple(results[state] for state in states)
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
        new = tuple(op.select(graph, "kept", keep, *pair) for pair in zip(new, states, strict=True))
    if recurrence.sequence is None:
        return new, None
    output = _as_value(graph, "output", new[0], formats, recurrence.cell.states[0])
    if keep is None or not recurrence.zero_output_for_mask:
        return new, output
    zero = op.zeros(graph, "zero", graph.shape(output), formats.dtype, formats.signal("h"))
    return new, op.select(graph, "output", keep, output, zero)
