"""Changes the weights that read the units of a recurrence, to make up for removed units (TensorFlow).

    h_removed ≈ A·[h_kept; 1]      W_kept += Aᵀ·W_removed      b += the row of Aᵀ·W_removed that belongs to 1

A is the least-squares solution over the states that the data produces. In all products that read the values of a
removed unit unchanged, A replaces the unit by a combination of the units that stay, which leaves less for training to
repair.
"""

from typing import Any

import keras
import numpy as np

from keras_vrnn.layers.interception import recurrences_replaced, replaced

_DAMPING = 1e-3  # of the mean square: M has no inverse if two units are always equal


def moments(channels, model, batches):
    """Returns E[h·hᵀ] of each layer's states with a 1 appended to h, (units + 1, units + 1), by the id of the layer.

    Masked steps do not count.
    """
    sums: dict[int, Any] = {id(group.layer): 0.0 for group in channels.groups}

    def observe(layer, loop, sequences, initial_state, mask):
        # All steps are needed, also if the layer returns the last one only.
        with replaced(layer, "return_sequences", True):
            last, outputs, states = loop(sequences, initial_state, mask)
        h = keras.ops.convert_to_numpy(outputs).astype(np.float64)
        counts = np.ones(h.shape[:2], bool) if mask is None else np.reshape(mask, h.shape[:2])
        h = h[counts[:, ::-1] if layer.go_backwards else counts]
        h = np.concatenate([h, np.ones((len(h), 1))], axis=1)
        sums[id(layer)] = sums[id(layer)] + h.T @ h
        return last, outputs, states

    with recurrences_replaced([group.layer for group in channels.groups], observe):
        for x, _, _ in batches:
            model(x, training=False)
    return {layer: total / total[-1, -1] for layer, total in sums.items()}


def damped(moment):
    return moment + _DAMPING * np.mean(np.diag(moment)) * np.eye(len(moment))


def direct_weights(channels, group):
    """Returns the weights that read the units' values unchanged, (units + 1, products); the last row is for the 1.

    The columns of the recurrent kernel come first, if it is one of them.
    """
    units = len(group.numbers)
    parts = [
        rows[places].transpose(1, 0, 2).reshape(units, -1) for _, rows, places in _direct(channels, group)
    ]
    weights = np.concatenate([np.zeros((units, 0)), *parts], axis=1)
    return np.concatenate([weights, np.zeros((1, weights.shape[1]))])


def other_weights(channels, group):
    """Returns the sizes of the weights that read changed values of the units, (units, products)."""
    roots = channels.roots(group.numbers)
    direct = {id(axis) for axis, _, _ in _direct(channels, group)}
    total = np.zeros((len(roots), 1))
    for axis in channels.axes.values():
        if axis.reads and id(axis) not in direct:
            sizes = np.zeros(channels.count)
            np.add.at(sizes, channels.roots(axis.numbers), np.square(_rows(axis)).sum(axis=1))
            total = np.concatenate([total, np.sqrt(sizes[roots])[:, None]], axis=1)
    return total


def own_columns(group):
    """Returns the number of columns of `direct_weights` that are from the recurrent kernel."""
    cell = group.layer.cell
    return cell.recurrent_kernel.shape[1] if getattr(cell, "reset_after", True) else 0


def compensate(channels, group, kept, moment):
    """Changes the weights that read the units, for the removal of all units outside `kept` (one bool per unit)."""
    if kept.all():
        return
    for axis, rows, places in _direct(channels, group):
        # A constant can only be added to a bias.
        stays = np.append(kept, axis.bias is not None)
        matrix = damped(moment)
        share = np.linalg.solve(matrix[np.ix_(stays, stays)], moment[np.ix_(stays, ~stays)])
        share = share[:, : np.count_nonzero(~kept)]
        added = np.einsum("sr,prk->psk", share, rows[places[:, ~kept]])
        count = np.count_nonzero(kept)
        np.add.at(rows, places[:, kept], added[:, :count])
        shape = np.moveaxis(np.empty(axis.variable.shape), axis.axis, 0).shape
        axis.variable.assign(np.moveaxis(rows.reshape(shape), 0, axis.axis))
        if axis.bias is not None:
            bias, row = axis.bias
            constant = added[:, count].reshape(-1, shape[-1]).sum(axis=0)
            value = np.array(keras.ops.convert_to_numpy(bias))
            value[... if row is None else row] += constant
            bias.assign(value)


def _direct(channels, group):
    """Yields (axis, its rows, places) of each product that reads the units unchanged, the recurrence's own first.

    places[n, u] is the row of unit u the n-th time that it is read; flattened steps read a unit several times.
    """
    altered = channels.altered.intersection(group.numbers)
    for axis in sorted(channels.axes.values(), key=lambda axis: not axis.own):
        found = [np.flatnonzero(axis.numbers == number) for number in group.numbers]
        everywhere = len({len(places) for places in found}) == 1 and len(found[0]) > 0
        if axis.reads and axis.linear and everywhere and (axis.own or not altered):
            yield axis, _rows(axis), np.transpose(found)


def _rows(axis):
    value = keras.ops.convert_to_numpy(axis.variable).astype(np.float64)
    return np.moveaxis(value, axis.axis, 0).reshape(len(axis.numbers), -1)
