"""The recurrences of a running model, with every h_t open to differentiation (TensorFlow).

    h_t = cell(x_t, h_{t-1}) + ε_t,   ε_t = 0

∂L/∂ε_t is the total derivative ∂L/∂h_t: by way of the output at t, and of all later steps.

Every Keras RNN layer does its recurrence by calling its `cell`. While it does, a cell that also reads ε_t stands in for
the layer's own: masks, direction and choice of outputs stay the layer's. ε_t comes as further features of x_t, so the
loop over time hands it out.
"""

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from keras_vrnn.layers.interception import recurrences_replaced, recurrent_layers, replaced


@dataclass
class Recurrence:
    """One cell in one call of its layer.

    Attributes:
        name: path of the layer, and of the cell where the layer has several.
        layer: the RNN layer.
        cell: the cell.
        sequences: (batch, time, features), what the layer reads.
        mask: (batch, time) bool in the order of time, or None.
        initial_state: what the layer starts from, a list of tensors.
        epsilon: (batch, time, units of all cells of the layer), watched.
        units: slice of the last axis of `epsilon` that belongs to the cell.
        outputs: (batch, time, units), what the layer hands on of every step, in the order of processing; with
            `return_sequences` only.
    """

    name: str
    layer: Any
    cell: Any
    sequences: Any
    mask: Any
    initial_state: Any
    epsilon: Any
    units: slice
    outputs: Any = None


def cells(model):
    """All cells of the RNN layers of a model."""
    return [cell for layer in recurrent_layers(model) for cell in _leaves(layer.cell)]


def is_gated(cell):
    return isinstance(cell, (keras.layers.LSTMCell, keras.layers.GRUCell))


@contextlib.contextmanager
def opened(model, watch):
    """Opens the recurrences of the model.

    Args:
        model: a Keras model, to be called in the block, with training=False.
        watch: `tape.watch` of the gradient tape that records the block.

    Yields:
        A list that fills with one `Recurrence` a cell, in the order of the calls.
    """
    found: list[Recurrence] = []
    with recurrences_replaced(recurrent_layers(model), functools.partial(_opened_loop, model, watch, found)):
        yield found


def _opened_loop(model, watch, found, layer, loop, sequences, initial_state, mask):
    if len(sequences.shape) != 3:  # a convolutional recurrence: its state is no vector h_t
        return loop(sequences, initial_state, mask)
    # Those of LSTM and GRU first try a fused kernel, which has no cell to stand in for.
    if type(layer).inner_loop in (keras.layers.LSTM.inner_loop, keras.layers.GRU.inner_loop):
        loop = functools.partial(keras.layers.RNN.inner_loop, layer)
    cell = _OpenedCell(layer.cell)
    batch, time = (tf.shape(sequences)[axis] for axis in (0, 1))
    epsilon = tf.zeros([batch, time, sum(cell.units)], sequences.dtype)
    epsilon = tf.ensure_shape(epsilon, [*sequences.shape[:2], sum(cell.units)])
    watch(epsilon)
    start, mine = 0, []
    for inner, units in zip(cell.cells, cell.units, strict=True):
        name = _name(model, layer) + (f"/{inner.name}" if len(cell.cells) > 1 else "")
        name = _unique(name, [recurrence.name for recurrence in found + mine])
        own = slice(start, start + units)
        mine.append(Recurrence(name, layer, inner, sequences, mask, initial_state, epsilon, own))
        start += units
    found += mine
    with replaced(layer, "cell", cell):
        results = loop(tf.concat([sequences, epsilon], -1), initial_state, mask)
    for recurrence in mine:
        recurrence.outputs = results[1]
    return results


class _OpenedCell:
    """([x_t, ε_t], states) → what `cell` makes of (x_t, states), with ε_t added to its h_t.

    h is the first state, as in all cells of Keras. Where a cell puts out its h, what it puts out is opened too.
    """

    def __init__(self, cell):
        self.cell = cell
        self.cells = _leaves(cell)
        self.units = [keras.tree.flatten(leaf.state_size)[0] for leaf in self.cells]
        self.compute_dtype = cell.compute_dtype

    def __call__(self, inputs, states):
        return self.call(inputs, states)

    def call(self, inputs, states):
        features = inputs.shape[-1] - sum(self.units)
        x, *epsilons = tf.split(inputs, [features, *self.units], axis=-1)
        return _step(self.cell, x, list(states), iter(epsilons))


def _leaves(cell):
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [leaf for inner in cell.cells for leaf in _leaves(inner)]
    return [cell]


def _step(cell, x, states, epsilons):
    if isinstance(cell, keras.layers.StackedRNNCells):
        # As in StackedRNNCells.call: the output of a cell is the input of the next.
        new_states = []
        for inner, state in zip(cell.cells, states, strict=True):
            nested = isinstance(state, (list, tuple))
            x, new = _step(inner, x, list(state) if nested else [state], epsilons)
            new_states.append(new if nested else new[0])
        return x, new_states
    output, new = cell(x, states)
    h, *others = new if isinstance(new, (list, tuple)) else [new]
    opened_h = h + tf.cast(next(epsilons), h.dtype)
    return (opened_h if output is h else output), [opened_h, *others]


def _name(model, layer):
    first, _, rest = (layer.path or layer.name).partition("/")
    return rest if rest and first == model.name else layer.path or layer.name


def _unique(name, taken):
    calls = sum(other == name or other.startswith(f"{name} (call ") for other in taken)
    return f"{name} (call {calls + 1})" if calls else name
