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
    """The main tensors that a recurrence reads: rows z (B,T,U) or x (B,T,F); h (B,1,U); mask (B,T,1) or None.

    A single step has no time axis: z (B,U), h (B,U), mask (B,1).
    """

    rows: int
    h: int
    mask: int | None


def write(recurrence, formats, file, values, unrolled):
    """Adds a recurrence to the main graph of a model file.

    Args:
        recurrence: The `parts.Recurrence` to write.
        formats: Its number formats.
        file: The `flatbuffer.ModelFile` to write into.
        values: Value name -> index of its tensor in the main graph. It contains `x` and, if the recurrence has them,
            `mask` and `initial_state`, and receives the results.
        unrolled: Whether to write every step instead of a loop.
    """
    main, mask, cell = file.main, recurrence.mask, recurrence.cell
    x, units = values[recurrence.x], cell.units
    batch, timesteps, _ = main.shape(x)
    single = unrolled and timesteps == 1
    inside = not unrolled and recurrence.sequence is None and cell.multiply_inside()
    operands = _Operands(
        rows=x if inside else cell.write_projection(main, recurrence.name, formats, x, flat=single),
        h=_initial_state(recurrence, formats, main, values, (batch, units) if single else (batch, 1, units)),
        mask=None
        if mask is None
        else op.shaped(main, "mask", values[mask], (batch, 1) if single else (batch, timesteps, 1)),
    )
    if unrolled:
        sequence, final = _write_steps(recurrence, formats, file, operands)
    else:
        sequence, final = _write_loop(recurrence, formats, file, operands, inside)
    if recurrence.sequence is not None:
        shape = (batch, timesteps, units)
        values[recurrence.sequence] = op.shaped(main, "sequence", sequence, shape)
    if recurrence.final is not None:
        values[recurrence.final] = op.shaped(main, "final", final, (batch, units))


def _initial_state(recurrence, formats, main, values, shape):
    """Returns the given initial state in the recurrence's own format, or zeros."""
    name, quantization = "h_0", formats.signal("h")
    if recurrence.initial_state is None:
        return op.zeros(main, name, shape, formats.dtype, quantization)
    state = values[recurrence.initial_state]
    if main.quantization(state) != quantization:
        state = op.quantize(main, f"{name}/given", state, quantization)
    return op.shaped(main, name, state, shape)


def _write_loop(recurrence, formats, file, operands, inside):
    """Returns the main tensors of all outputs (or None) and of the last state; with `inside`, the loop computes z."""
    main, name, cell = file.main, recurrence.name, recurrence.cell
    batch, timesteps, width = main.shape(operands.rows)
    backwards = recurrence.go_backwards
    start, stride = (timesteps - 1, -1) if backwards else (0, 1)
    loop = Loop(file, main, name)
    body = loop.body

    # Every turn of a loop that writes `rows` copies them twice: two steps per turn halve that.
    block = 2 if recurrence.sequence is not None and operands.mask is None and timesteps % 2 == 0 else 1
    t = loop.count("t", [start], [block * stride])
    rows, h = loop.carry("rows", operands.rows), loop.carry("h", operands.h)
    position = keep = None
    if recurrence.sequence is not None or operands.mask is not None or formats.dtype == np.int16:
        # The first row of the turn in the order of time, in either direction.
        first = min(start, start + (block - 1) * stride)
        position = loop.count("position", [0, first, 0], [0, block * stride, 0])
    # In TFLite Micro, SLICE supports int16 and bool, GATHER does not.
    if formats.dtype == np.int16 or block > 1:
        row = op.slice_(body, "row", rows, position, (batch, block, width))
    else:
        row = op.gather(body, "row", rows, t)
    z = cell.write_projection(body, name, formats, row) if inside else row
    if operands.mask is not None:
        mask = loop.carry("mask", operands.mask)
        keep = op.slice_(body, "mask_t", mask, position, (batch, 1, 1))
    step, state, outputs = cell.write_step(body, name, formats), h, []
    for z_t in op.halves(body, "z_t", z)[::stride] if block > 1 else [z]:
        state, output = _masked_step(recurrence, formats, body, step, z_t, state, keep)
        outputs.append(output)
    loop.set(h, state)
    if recurrence.sequence is not None:
        written = op.concatenate(body, "h", outputs[::stride])
        loop.set(rows, op.update(body, "next_rows", rows, written, position))

    results = loop.close("GREATER_EQUAL", 0) if backwards else loop.close("LESS", timesteps)
    if recurrence.sequence is None:
        return None, results[h]
    sequence = results[rows]
    main.declare(sequence, formats.signal("h"))
    return (op.reverse(main, "sequence", sequence) if backwards else sequence), results[h]


def _write_steps(recurrence, formats, file, operands):
    """Returns the main tensors of all outputs (or None) and of the last state."""
    main, name = file.main, recurrence.name
    steps = op.split(main, f"{name}/z_t", operands.rows)
    masks = [None] * len(steps) if operands.mask is None else op.split(main, f"{name}/mask_t", operands.mask)
    order = range(len(steps))
    step, h, outputs = recurrence.cell.write_step(main, name, formats), operands.h, []
    for t in reversed(order) if recurrence.go_backwards else order:
        h, output = _masked_step(recurrence, formats, main, step, steps[t], h, masks[t])
        outputs.append(output)
    sequence = None if recurrence.sequence is None else op.concatenate(main, "sequence", outputs)
    return sequence, h


def _masked_step(recurrence, formats, graph, step, z_t, h, keep):
    """Returns the state and the output of one step; a masked step keeps the state, and may return zeros."""
    new = step(z_t, h)
    if keep is None:
        return new, new
    new = op.select(graph, "h_kept", keep, new, h)
    if recurrence.sequence is None or not recurrence.zero_output_for_mask:
        return new, new
    zero = op.zeros(graph, "zero", graph.shape(new), formats.dtype, formats.signal("h"))
    return new, op.select(graph, "output", keep, new, zero)
