"""Follows the units of recurrent layers through the graph of a model.

`keras.models.clone_model` calls the layers of a model again, in order, through a function that it receives:
`Follower._call`.
"""

import keras
import numpy as np
from keras import layers as kl

from keras_vrnn.compression import channel_rules
from keras_vrnn.compression.channels import FIXED, Channels, Group
from keras_vrnn.layers import Bidirectional as OwnBidirectional
from keras_vrnn.layers import StackedVanillaRNN, VanillaRNN, VanillaRNNCell
from keras_vrnn.layers.call_checks import named
from keras_vrnn.training.model import Functional, Sequential

# The number of products per step, which lie side by side in the columns of kernel and recurrent kernel.
_GATES = {kl.SimpleRNNCell: 1, VanillaRNNCell: 1, kl.GRUCell: 3, kl.LSTMCell: 4}
_RECURRENT = (kl.SimpleRNN, VanillaRNN, kl.GRU, kl.LSTM, kl.RNN)
# Models that are a graph of layers and nothing else. Keras has no public name for what `keras.Model(inputs, outputs)`
# makes.
GRAPHS = (Functional, Functional.__bases__[1], Sequential, keras.Sequential)


class Follower:
    """Goes through a model once and fills `channels`.

    Args:
        keep: a function of a layer's name that returns the share of units that the layer keeps; None if it keeps all.
    """

    def __init__(self, keep):
        self.channels = Channels()
        self._keep = keep
        self._numbers: dict[int, np.ndarray] = {}  # by the id of the tensor
        self._alive: list = []  # keeps the tensors alive, so that no id is used twice
        self._groups: dict[int, Group | None] = {}

    def follow(self, model):
        """Calls the layers of `model` again and follows the units through them."""
        inputs = self._new_inputs(model)
        for tensor in keras.tree.flatten(inputs):
            self._note(tensor, channel_rules.fixed(tensor))
        for tensor in keras.tree.flatten(self._run(model, inputs)):
            self.channels.obstruct(self._of(tensor), "they are outputs of the model")
        return self.channels

    @staticmethod
    def _new_inputs(model):
        def new(tensor):
            return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype)

        return keras.tree.map_structure(new, inputs_of(model))

    def _run(self, model, inputs):
        if isinstance(model, keras.Sequential):
            tensor = inputs
            for layer in model.layers:
                tensor = self._call(layer, tensor)
            return tensor
        twin = keras.models.clone_model(
            model, input_tensors=inputs, clone_function=lambda layer: layer, call_function=self._call
        )
        return twin.output

    def _call(self, layer, *args, **kwargs):
        if type(layer) in GRAPHS:
            return self._call_model(layer, args, kwargs)
        result = layer(*args, **kwargs)
        tensors = [t for t in keras.tree.flatten((args, kwargs)) if isinstance(t, keras.KerasTensor)]
        inputs = [(tensor, self._of(tensor)) for tensor in tensors]
        outputs = [t for t in keras.tree.flatten(result) if isinstance(t, keras.KerasTensor)]
        if type(layer).__name__ == "GetItem":
            key = args[1] if len(args) > 1 else kwargs.get("key")
            numbers = channel_rules.indexing(self.channels, layer, inputs, outputs, key)
        else:
            states = kwargs.get("initial_state", args[1] if len(args) > 1 else None)
            numbers = self._rule(layer)(
                layer, inputs, outputs, [self._of(s) for s in keras.tree.flatten(states) if s is not None]
            )
        for tensor, own in zip(outputs, numbers, strict=True):
            self._note(tensor, own)
        return result

    def _call_model(self, model, args, kwargs):
        """Follows the units through a model inside a model."""
        given = keras.tree.flatten(args[0] if args else kwargs)
        inputs = self._new_inputs(model)
        own = keras.tree.flatten(inputs_of(model))
        for tensor, outer, inner in zip(keras.tree.flatten(inputs), given, own, strict=True):
            numbers = self.channels.inputs.setdefault(id(inner), self._of(outer))
            self.channels.join(numbers, self._of(outer), f"{named(model)} also reads values that stay")
            self._note(tensor, numbers)
        results = [self._of(tensor) for tensor in keras.tree.flatten(self._run(model, inputs))]
        result = model(*args, **kwargs)
        for tensor, numbers in zip(keras.tree.flatten(result), results, strict=True):
            self._note(tensor, numbers)
        return result

    def _rule(self, layer):
        if type(layer) in _RECURRENT:
            return self._recurrent
        if type(layer) in (kl.Bidirectional, OwnBidirectional):
            return self._bidirectional
        if type(layer) is StackedVanillaRNN:
            return self._stacked
        if type(layer) is kl.TimeDistributed:
            return lambda _, inputs, outputs, states: self._rule(layer.layer)(
                layer.layer, inputs, outputs, []
            )
        rule = channel_rules.rule_of(layer)
        return lambda layer, inputs, outputs, states: rule(self.channels, layer, inputs, outputs)

    def _recurrent(self, layer, inputs, outputs, states):
        units = self._recur(layer, layer.name, inputs[0][1], states)
        return [units] * len(outputs)

    def _bidirectional(self, layer, inputs, outputs, states):
        half = len(states) // 2
        numbers = inputs[0][1]
        forward = self._recur(layer.forward_layer, layer.name, numbers, states[:half])
        backward = self._recur(layer.backward_layer, layer.name, numbers, states[half:])
        if layer.merge_mode is None:
            merged = [forward, backward]
        elif layer.merge_mode == "concat":
            merged = [np.concatenate([forward, backward])]
        else:
            self.channels.join(forward, backward, f"{named(layer)} merges them with values that stay")
            merged = [forward]
        count = (len(outputs) - len(merged)) // 2
        return [*merged, *[forward] * count, *[backward] * count]

    def _stacked(self, stack, inputs, outputs, states):
        numbers, finals = inputs[0][1], []
        for layer in stack.layers:
            parts = [layer.forward_layer, layer.backward_layer] if stack.bidirectional else [layer]
            ends = []
            for part in parts:
                ends.append(self._recur(part, stack.name, numbers, states[:1]))
                states = states[1:]
            finals += ends
            numbers = np.concatenate(ends) if stack.merge_mode == "concat" else ends[0]
            if stack.merge_mode != "concat" and stack.bidirectional:
                self.channels.join(ends[0], ends[1], f"{named(stack)} merges them with values that stay")
        return [numbers, *finals][: len(outputs)]

    def _recur(self, layer, name, inputs, states):
        """Joins the states of one recurrence with its units, and marks its weights."""
        cell, channels = layer.cell, self.channels
        gates = _GATES.get(type(cell))
        if gates is None:
            reason = f"they are inputs of {named(layer)}, whose cell {type(cell).__name__} cannot be resized"
            channels.obstruct(inputs, reason)
            if self._keep(name) is not None:
                raise ValueError(
                    f"{named(layer)} cannot lose units: its cell must be one of "
                    f"{', '.join(known.__name__ for known in _GATES)}. Received: {type(cell).__name__}. Leave "
                    "the layer out: keep={name: share} names the layers that lose units."
                )
            return np.array([FIXED])
        if id(layer) not in self._groups:
            share = self._keep(name)
            group = None if share is None else Group(name, layer, channels.new(cell.units), share)
            self._groups[id(layer)] = group
            if group is not None:
                channels.groups.append(group)
        group = self._groups[id(layer)]
        units = np.full(cell.units, FIXED) if group is None else group.numbers
        for state in states:
            channels.join(units, state, f"{named(layer)} starts from a state that stays")
        columns = np.tile(units, gates)
        two_biases = cell.bias is not None and len(cell.bias.shape) == 2  # GRU with reset_after
        biases = [channel_rules.bias_of(cell, row if two_biases else None) for row in (0, 1)]
        # A GRU without reset_after multiplies its reset gate into the state before the product.
        linear = getattr(cell, "reset_after", True)
        channels.mark(cell.kernel, 0, inputs, reads=True, bias=biases[0])
        channels.mark(cell.kernel, 1, columns)
        channels.mark(cell.recurrent_kernel, 0, units, reads=True, bias=biases[1], own=True, linear=linear)
        channels.mark(cell.recurrent_kernel, 1, columns)
        if cell.bias is not None:
            channels.mark(cell.bias, -1, columns)
        return units

    def _of(self, tensor):
        return self._numbers.get(id(tensor), np.zeros(0, int))

    def _note(self, tensor, numbers):
        self._alive.append(tensor)
        stays = not np.any(numbers)
        self._numbers[id(tensor)] = channel_rules.fixed(tensor) if stays else np.asarray(numbers, int)


def inputs_of(model):
    """Returns the inputs of a model in their own structure."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input
