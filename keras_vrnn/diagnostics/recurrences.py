"""The recurrences of a running model, with the state of every step open to differentiation (TensorFlow).

    s_t = cell(x_t, s_{t-1}) + ε_t,   ε_t = 0        s_t: h_t, and for an LSTM c_t

∂L/∂ε_t is the total derivative ∂L/∂s_t: through the output at t, and through all later steps.

Every Keras RNN layer computes its recurrence by calling its `cell`. While it does, a cell that also reads ε_t takes the
place of the layer's own, so that masks, direction and choice of outputs remain the layer's. ε_t is passed as additional
features of x_t, because the loop over time already distributes those.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.layers.interception import (
    recurrences_replaced,
    recurrent_layers,
    replaced,
    vanilla_layers,
)


@dataclass
class Recurrence:
    """One cell in one call of its layer.

    Attributes:
        name: path of the layer, and of the cell where the layer has several.
        layer: the RNN layer.
        cell: the cell.
        sequences: (batch, time, features), the input of the layer.
        mask: (batch, time) bool in the order of time, or None.
        initial_state: the layer's initial state, a list of tensors.
        probes: (batch, time, width), watched: ε of all cells of the layer, and η, see `output`.
        state: slice of the last axis of `probes` that holds ε of the cell, for all its states; h comes first.
        output: slice that holds η_t = 0, added to the h_t that the next cell of the same layer reads, and to nothing
            else; None for the last cell of a layer.
        outputs: (batch, time, units), h of every step in the order of processing, if the layer returns it; else None.
        final_states: the states after the last step, each (batch, its size).
    """

    name: str
    layer: Any
    cell: Any
    sequences: Any
    mask: Any
    initial_state: Any
    probes: Any
    state: slice
    output: slice | None
    outputs: Any = None
    final_states: tuple[Any, ...] = ()


def cells(model: keras.Model) -> list[Any]:
    """All cells of the RNN layers of a model."""
    return [cell for layer in recurrent_layers(model) for cell in _leaves(layer.cell)]


def vanilla_calls(model: keras.Model, x: Any) -> list[tuple[Any, ...]]:
    """Runs a model and returns (name, layer, input, mask or None, h_0) of each call of a vanilla RNN, as arrays."""
    vanilla = vanilla_layers(model)
    with opened(model, watch=lambda tensor: None) as found:
        model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)
    return [
        (
            call.name,
            call.layer,
            np.asarray(call.sequences),
            None if call.mask is None else np.asarray(call.mask),
            np.asarray(call.initial_state[0]),
        )
        for call in found
        if call.layer in vanilla
    ]


@contextlib.contextmanager
def opened(model: keras.Model, watch: Callable[[Any], Any]) -> Iterator[list[Recurrence]]:
    """Opens the recurrences of the model.

    Args:
        model: a Keras model, to be called in the block, with training=False.
        watch: `tape.watch` of the gradient tape that records the block.

    Yields:
        A list that receives one `Recurrence` per cell, in the order of the calls.
    """
    found: list[Recurrence] = []
    with recurrences_replaced(recurrent_layers(model), functools.partial(_opened_loop, model, watch, found)):
        yield found


def _opened_loop(model, watch, found, layer, loop, sequences, initial_state, mask):
    if len(sequences.shape) != 3:  # a convolutional recurrence: its state is not a vector h_t
        return loop(sequences, initial_state, mask)
    # LSTM and GRU first try a fused kernel, in which no cell can be replaced.
    if type(layer).inner_loop in (keras.layers.LSTM.inner_loop, keras.layers.GRU.inner_loop):
        loop = functools.partial(keras.layers.RNN.inner_loop, layer)
    cell = _OpenedCell(layer.cell)
    batch, time = (tf.shape(sequences)[axis] for axis in (0, 1))
    probes = tf.zeros([batch, time, cell.width], sequences.dtype)
    probes = tf.ensure_shape(probes, [*sequences.shape[:2], cell.width])
    watch(probes)
    mine = []
    for leaf in cell.leaves:
        name = _name(model, layer) + (f"/{leaf.cell.name}" if len(cell.leaves) > 1 else "")
        name = _unique(name, [recurrence.name for recurrence in found + mine])
        mine.append(
            Recurrence(
                name, layer, leaf.cell, sequences, mask, initial_state, probes, leaf.state, leaf.output
            )
        )
    found += mine
    with replaced(layer, "cell", cell):
        results = loop(tf.concat([sequences, probes], -1), initial_state, mask)
    # A copy: unrolled, the loop's outputs are its states, which later steps read; only the layer reads the copy.
    last_output, outputs, states = results[0], tf.identity(results[1]), results[2]
    final_states = iter(keras.tree.flatten(states))
    for recurrence, leaf in zip(mine, cell.leaves, strict=True):
        own = list(itertools.islice(final_states, len(leaf.sizes)))
        recurrence.final_states = tuple(
            state for state, size in zip(own, leaf.sizes, strict=True) if size is not None
        )
    if layer.return_sequences and cell.leaves[-1].returns_h:
        mine[-1].outputs = outputs
    return last_output, outputs, states


class _Leaf:
    """One cell without cells inside, and its slices of the probes."""

    def __init__(self, cell, start, is_last):
        self.cell = cell
        sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
        # A state that is not a vector, such as a matrix memory, stays closed.
        self.sizes = [size if isinstance(size, int) else None for size in sizes]
        self.state = slice(start, start + sum(filter(None, self.sizes)))
        self.output = None if is_last else slice(self.state.stop, self.state.stop + sizes[0])
        self.stop = (self.output or self.state).stop
        self.returns_h = False

    def step(self, x, states, probes):
        output, new = self.cell(x, states)
        new = list(new) if isinstance(new, (list, tuple)) else [new]
        self.returns_h = output is new[0]
        widths = [size for size in self.sizes if size is not None]
        epsilons = iter(tf.split(probes[..., self.state], widths, axis=-1))
        opened_states = [
            state if size is None else state + tf.cast(next(epsilons), state.dtype)
            for state, size in zip(new, self.sizes, strict=True)
        ]
        # A loop may pass the output on as the state, which for these cells is the same.
        output = opened_states[0] if self.returns_h else output
        return output, opened_states

    def handed_on(self, output, probes):
        """The output as the next cell of the layer reads it."""
        if self.output is None or not self.returns_h:
            return output
        return output + tf.cast(probes[..., self.output], output.dtype)


class _OpenedCell:
    """([x_t, probes_t], states) → what `cell` computes from (x_t, states), with the probes added."""

    def __init__(self, cell):
        self.cell = cell
        self.compute_dtype = cell.compute_dtype
        self.leaves = []
        self.width = 0
        leaves = _leaves(cell)
        for leaf in leaves:
            self.leaves.append(_Leaf(leaf, self.width, is_last=leaf is leaves[-1]))
            self.width = self.leaves[-1].stop

    def __call__(self, inputs, states):
        return self.call(inputs, states)

    def call(self, inputs, states):
        x, probes = inputs[..., : -self.width], inputs[..., -self.width :]
        return _step(self.cell, x, list(states), probes, iter(self.leaves))


def _leaves(cell):
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [leaf for inner in cell.cells for leaf in _leaves(inner)]
    return [cell]


def _step(cell, x, states, probes, leaves):
    if not isinstance(cell, keras.layers.StackedRNNCells):
        leaf = next(leaves)
        output, new = leaf.step(x, states, probes)
        return leaf.handed_on(output, probes), new
    # As in StackedRNNCells.call: the output of a cell is the input of the next.
    new_states = []
    for inner, state in zip(cell.cells, states, strict=True):
        nested = isinstance(state, (list, tuple))
        x, new = _step(inner, x, list(state) if nested else [state], probes, leaves)
        new_states.append(new if nested else new[0])
    return x, new_states


def _name(model, layer):
    first, _, rest = (layer.path or layer.name).partition("/")
    return rest if rest and first == model.name else layer.path or layer.name


def _unique(name, taken):
    calls = sum(other == name or other.startswith(f"{name} (call ") for other in taken)
    return f"{name} (call {calls + 1})" if calls else name
