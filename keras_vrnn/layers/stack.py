"""Recurrent layers on top of each other, with dropout between them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_vrnn import _checks as checks
from keras_vrnn._types import LayerOptions, MergeMode, RecurrenceOptions, Shape, StackOptions, Tensor
from keras_vrnn.layers import call_checks, part_constraints
from keras_vrnn.layers.bidirectional import Bidirectional
from keras_vrnn.layers.fast_rnn import FastRNN
from keras_vrnn.layers.vanilla_rnn import VanillaRNN

if TYPE_CHECKING:
    from typing_extensions import Unpack


# What the stack sets itself in each of its layers.
_OWN = {
    *("self", "units", "dropout", "return_sequences", "return_state", "go_backwards", "seed", "kwargs"),
    *typing.get_type_hints(LayerOptions),
}


class RecurrentStack(keras.layers.Layer):
    """A stack of recurrent layers of one class; see `StackedVanillaRNN` for its arguments.

    Attributes:
        layer_class: The class of its layers.
        states_per_layer: The number of states of one layer in one direction.
    """

    layer_class: Any
    states_per_layer = 1

    def __init__(
        self,
        units: Sequence[int],
        dropout: float = 0.0,
        bidirectional: bool = False,
        merge_mode: MergeMode = "concat",
        return_sequences: bool = False,
        return_state: bool = False,
        seed: int | None = None,
        **options: Unpack[StackOptions],
    ) -> None:
        given: dict[str, Any] = {**options}
        named = inspect.signature(self.layer_class.__init__).parameters
        shared = {*typing.get_type_hints(RecurrenceOptions), *named} - _OWN
        self._options = {name: given.pop(name) for name in sorted(shared) if name in given}
        unknown = sorted(set(given) - set(typing.get_type_hints(LayerOptions)))
        if unknown:
            raise ValueError(
                f"`{type(self).__name__}` has no argument {', '.join(f'`{name}`' for name in unknown)}. "
                f"Received: {', '.join(f'{name}={given[name]!r}' for name in unknown)}. "
                f"Expected {', '.join(sorted(shared))} for the layers, or name, dtype, trainable."
            )
        super().__init__(**given)
        if not isinstance(units, (list, tuple)) or not units:
            must = "be a list of positive integers, one per layer, such as [64, 32]"
            raise checks.refused("units", must, units)
        self.units = [checks.positive_int(f"units[{k}]", size) for k, size in enumerate(units)]
        self.dropout = checks.rate("dropout", dropout)
        self.bidirectional = checks.flag("bidirectional", bidirectional)
        self.merge_mode = checks.one_of("merge_mode", merge_mode, typing.get_args(MergeMode))
        self.return_sequences = checks.flag("return_sequences", return_sequences)
        self.return_state = checks.flag("return_state", return_state)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.layers = [self._layer(k) for k in range(len(self.units))]
        self.between = [self._dropout(k) for k in range(len(self.units) - 1)]

    @property
    def stateful(self) -> bool:
        return self.layers[0].stateful

    def _seed(self, offset: int) -> int | None:
        return None if self.seed is None else self.seed + offset

    def _layer(self, k: int) -> Any:
        last = k == len(self.units) - 1
        # An initializer without a seed always returns the same matrix: each layer gets its own.
        options = {n: v.clone() if hasattr(v, "clone") else v for n, v in self._options.items()}
        layer = self.layer_class(
            self.units[k],
            return_sequences=self.return_sequences or not last,
            return_state=True,
            seed=self._seed(k),
            name=f"layer_{k}",
            dtype=self.dtype_policy,
            **options,
        )
        if self.bidirectional:
            return Bidirectional(
                layer, merge_mode=self.merge_mode, name=f"layer_{k}", dtype=self.dtype_policy
            )
        return layer

    def _dropout(self, k: int) -> Any:
        return keras.layers.Dropout(
            self.dropout, seed=self._seed(len(self.units) + k), dtype=self.dtype_policy
        )

    def build(self, sequences_shape: Shape, initial_state_shape: Shape = None) -> None:
        shape = tuple(sequences_shape)
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)[0]

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor = None, training: bool = False
    ) -> Any:
        states = self._per_layer("initial_state", initial_state)
        output, final = sequences, []
        for k, layer in enumerate(self.layers):
            output, *state = layer(output, initial_state=states[k], mask=mask, training=training)
            final += state
            if k < len(self.between):
                output = self.between[k](output, training=training)
        return (output, *final) if self.return_state else output

    def compute_output_shape(self, sequences_shape: Shape, initial_state_shape: Shape = None) -> Any:
        shape, states = tuple(sequences_shape), []
        for layer in self.layers:
            shape, *state = layer.compute_output_shape(shape)
            states += state
        return (shape, *states) if self.return_state else shape

    def compute_mask(self, inputs: Tensor, previous_mask: Any) -> Any:
        mask = keras.tree.flatten(previous_mask)[0] if self.return_sequences else None
        return [mask] + [None] * len(self.state_sizes) if self.return_state else mask

    def reset_state(self, states: Any = None) -> None:
        """Sets the states that the next batch starts from, with `stateful=True`; zeros by default."""
        for layer, part in zip(self.layers, self._per_layer("states", states), strict=True):
            # Keras' own layers take no argument here.
            layer.reset_state(*(() if part is None else (part,)))

    def reset_states(self, states: Any = None) -> None:
        """Alias of `reset_state`, as in Keras."""
        self.reset_state(states)

    @property
    def state_sizes(self) -> list[int]:
        """The sizes of the states, in their order."""
        return [size for size in self.units for _ in range(self._states_at_once)]

    @property
    def _states_at_once(self) -> int:
        return self.states_per_layer * (2 if self.bidirectional else 1)

    def _per_layer(self, name: str, states: Any) -> list:
        if states is None:
            return [None] * len(self.units)
        order = "layer by layer" + (", forward then backward" if self.bidirectional else "")
        states = call_checks.states_list(self, name, states, len(self.state_sizes), order)
        width = self._states_at_once
        return [states[k * width : (k + 1) * width] for k in range(len(self.units))]

    def get_config(self) -> dict[str, Any]:
        first = self.layers[0].forward_layer if self.bidirectional else self.layers[0]
        config = first.get_config()
        options = {n: config.get(n, given) for n, given in self._options.items()}
        # The first layer may have another value than the user's: Bidirectional forces zero_output_for_mask, and a
        # pruned kernel has a mask of its own.
        for name in options:
            if name.endswith("_constraint"):
                options[name] = keras.constraints.serialize(keras.constraints.get(self._options[name]))
        if "zero_output_for_mask" in options:
            options["zero_output_for_mask"] = self._options["zero_output_for_mask"]
        return {
            **super().get_config(),
            "units": list(self.units),
            "dropout": self.dropout,
            "bidirectional": self.bidirectional,
            "merge_mode": self.merge_mode,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "seed": self.seed,
            **options,
            **part_constraints.to_config(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RecurrentStack:
        return part_constraints.from_config(cls, config)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class StackedVanillaRNN(RecurrentStack):
    """A stack of vanilla RNNs, with dropout between the layers.

    Layer k reads the outputs of layer k-1. As in `torch.nn.RNN(num_layers, dropout, bidirectional)`, the dropout is
    drawn anew at each step and applied neither before the first layer nor after the last. Each layer runs over the
    whole sequence with the fused recurrence, once per call; `keras.layers.RNN([cells])` goes step by step and runs its
    cells one extra time.

    Args:
        units: Units of each layer, from the input up, such as [64, 32].
        dropout: Fraction of the outputs of a layer to drop before the next, in [0, 1].
        bidirectional: Whether each layer runs in both directions.
        merge_mode: How both directions are merged: "concat", "sum", "mul" or "ave".
        return_sequences: Whether to return the outputs of all steps, (batch, time, units), or the last one.
        return_state: Whether to return the final states after the output.
        seed: Integer seed of all dropout masks.
        **options: Arguments of `VanillaRNN` for every layer, such as `activation`, `recurrent_dropout` or `stateful`;
            `name`, `dtype` and `trainable` are for the stack.

    Call arguments:
        sequences, mask, training: See `VanillaRNN`.
        initial_state: List of h_0, (batch, units), from the first layer to the last, in each layer forward then
            backward; the order in which states are returned.

    Raises:
        ValueError: A wrong option, or a wrong number of states.

    Examples:
        >>> stack = StackedVanillaRNN([8, 4], dropout=0.2, bidirectional=True)
        >>> tuple(stack(np.ones((2, 5, 3), "float32")).shape)
        (2, 8)
    """

    layer_class = VanillaRNN


@keras.saving.register_keras_serializable(package="keras_vrnn")
class StackedFastRNN(RecurrentStack):
    """A stack of `FastRNN` layers, which `EncoderDecoder` is built of."""

    layer_class = FastRNN


@keras.saving.register_keras_serializable(package="keras_vrnn")
class StackedGRU(RecurrentStack):
    """A stack of `keras.layers.GRU` layers, which `EncoderDecoder` is built of."""

    layer_class = keras.layers.GRU


@keras.saving.register_keras_serializable(package="keras_vrnn")
class StackedLSTM(RecurrentStack):
    """A stack of `keras.layers.LSTM` layers, which `EncoderDecoder` is built of."""

    layer_class = keras.layers.LSTM
    states_per_layer = 2
