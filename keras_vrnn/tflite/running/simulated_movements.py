"""The operators of the simulation that move, choose or cast values without arithmetic.

Each entry of `MOVEMENTS` is as in `simulated_operators`.
"""

import numpy as np


def dtype_of(graph, operator):
    """Returns the NumPy dtype of an operator's first result."""
    return graph.dtypes[operator.outputs[0]]


def shape_of(graph, operator):
    """Returns the shape of an operator's first result."""
    return graph.shapes[operator.outputs[0]]


def plain(function):
    """Returns an operator that needs neither formats nor options."""
    return lambda graph, operator, *arguments: function(*arguments)


def _gather(graph, operator, x, index):
    axis, batch = operator.options.axis, operator.options.batchDims
    axis = axis + x.ndim if axis < 0 else axis
    if index.size and not (index.min() >= 0 and index.max() < x.shape[axis]):
        raise ValueError(
            f"`x` must hold integers from 0 to {x.shape[axis] - 1} where they choose from a table of that length. "
            f"Received: {index.min()} to {index.max()}"
        )
    if batch == 0:
        return np.take(x, index, axis=axis)
    return np.stack([np.take(a, i, axis=axis - 1) for a, i in zip(x, index, strict=True)])


def _slice(graph, operator, x, begin, size):
    ends = [b + s if s >= 0 else n for b, s, n in zip(begin, size, x.shape, strict=True)]
    return x[tuple(slice(b, e) for b, e in zip(begin, ends, strict=True))]


def _strided_slice(graph, operator, x, begin, end, strides):
    options = operator.options
    slices = []
    for axis, (first, last, step) in enumerate(zip(begin, end, strides, strict=True)):
        bit = 1 << axis
        if options.offset:
            last = first + last
        if options.shrinkAxisMask & bit:
            first = int(first) % x.shape[axis]
            slices.append(slice(first, first + 1))
            continue
        slices.append(
            slice(
                None if options.beginMask & bit else int(first),
                None if options.endMask & bit else int(last),
                int(step),
            )
        )
    return x[tuple(slices)].reshape(shape_of(graph, operator))


def _pad(graph, operator, x, paddings, value=None):
    target = graph.formats[operator.outputs[0]]
    if value is None:
        value = 0 if target is None else target.zero_point
    return np.pad(x, [tuple(map(int, pair)) for pair in paddings], constant_values=np.ravel(value)[0])


def _update(graph, operator, target, part, position):
    # The start is moved so that the part fits, as in XLA.
    start = [min(max(p, 0), n - k) for p, n, k in zip(position, target.shape, part.shape, strict=True)]
    target = target.copy()
    target[tuple(slice(p, p + k) for p, k in zip(start, part.shape, strict=True))] = part
    return target


def _concatenate(graph, operator, *parts):
    return np.concatenate(parts, axis=operator.options.axis)


def _split(graph, operator, axis, x):
    return np.split(x, operator.options.numSplits, axis=int(np.ravel(axis)[0]))


def _split_by_sizes(graph, operator, x, sizes, axis):
    return np.split(x, np.cumsum(sizes)[:-1], axis=int(np.ravel(axis)[0]))


def _unpack(graph, operator, x):
    return list(np.moveaxis(x, operator.options.axis, 0))


def _reshape(graph, operator, x, *_):
    return x.reshape(shape_of(graph, operator))


def _cast(graph, operator, x):
    return x.astype(dtype_of(graph, operator))


MOVEMENTS = {
    "BROADCAST_TO": plain(lambda x, shape: np.broadcast_to(x, tuple(shape))),
    "CAST": _cast,
    "CONCATENATION": _concatenate,
    "DYNAMIC_UPDATE_SLICE": _update,
    "EXPAND_DIMS": _reshape,
    "FILL": plain(lambda shape, value: np.full(tuple(shape), value)),
    "GATHER": _gather,
    "PACK": lambda graph, operator, *parts: np.stack(parts, axis=operator.options.axis),
    "PAD": _pad,
    "PADV2": _pad,
    "RESHAPE": _reshape,
    "REVERSE_V2": plain(lambda x, axes: np.flip(x, axis=tuple(np.ravel(axes)))),
    "SELECT_V2": plain(np.where),
    "SHAPE": lambda graph, operator, x: np.array(x.shape, dtype_of(graph, operator)),
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_by_sizes,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "TILE": plain(lambda x, repeats: np.tile(x, tuple(repeats))),
    "TRANSPOSE": plain(lambda x, order: np.transpose(x, tuple(order))),
    "UNPACK": _unpack,
    "ZEROS_LIKE": plain(np.zeros_like),
}
