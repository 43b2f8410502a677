"""Vanilla RNNs on top of each other, with dropout between them."""

import inspect

import keras

from keras_vrnn import _checks as checks
from keras_vrnn.layers.bidirectional import Bidirectional
from keras_vrnn.layers.vanilla_rnn import VanillaRNN

# Set by the stack for each of its layers, not by the user for all.
_OWN = {"units", "dropout", "return_sequences", "return_state", "go_backwards", "seed", "kwargs", "self"}
_SHARED = set(inspect.signature(VanillaRNN).parameters) - _OWN


@keras.saving.register_keras_serializable(package="keras_vrnn")
class StackedVanillaRNN(keras.layers.Layer):
    """Layer k reads the outputs of layer k-1, of which `dropout` are dropped in training.

    The stack of `torch.nn.RNN(num_layers, dropout, bidirectional)`: dropout between the layers, drawn anew at
    each step, not before the first nor after the last. Each layer runs as a whole sequence, with the fused
    recurrence, and once a call; `keras.layers.RNN([cells])` goes step by step and runs its cells one extra time.

    Args:
        units: Units of each layer, from the input up, such as [64, 32].
        dropout: Fraction of the outputs of a layer to drop before the next, in [0, 1].
        bidirectional: Whether each layer runs in both directions.
        merge_mode: How both directions are merged: "concat", "sum", "mul" or "ave".
        return_sequences: Whether to return the outputs of all steps, (batch, time, units), or the last one.
        return_state: Whether to return the final states after the output.
        seed: Integer seed of all dropout masks.
        **options: Of every layer: arguments of `VanillaRNN` such as `activation`, `recurrent_dropout` or
            `stateful`; `name`, `dtype` and `trainable` are the stack's.

    Call arguments:
        sequences, mask, training: See `VanillaRNN`.
        initial_state: List of h_0, (batch, units), from the first layer to the last, forward then backward in
            each; the order in which states are returned.

    Raises:
        ValueError: A wrong option, or a wrong number of states.

    Example:
    >>> stack = StackedVanillaRNN([8, 4], dropout=0.2, bidirectional=True)
    >>> tuple(stack(np.ones((2, 5, 3), "float32")).shape)
    (2, 8)
    """

    def __init__(
        self,
        units,
        dropout=0.0,
        bidirectional=False,
        merge_mode="concat",
        return_sequences=False,
        return_state=False,
        seed=None,
        **options,
    ):
        self._options = {name: options.pop(name) for name in sorted(_SHARED & set(options))}
        unknown = set(options) - {"name", "dtype", "trainable", "autocast"}
        if unknown:
            raise ValueError(
                f"`StackedVanillaRNN` has no argument {', '.join(f'`{n}`' for n in sorted(unknown))}. Expected "
                f"{', '.join(sorted(_SHARED))} for the layers, or name, dtype, trainable."
            )
        super().__init__(**options)
        if not isinstance(units, (list, tuple)) or not units:
            raise ValueError(
                "`units` must be a list of positive integers, one a layer, such as [64, 32]. "
                f"Received: units={units!r}"
            )
        if merge_mode not in ("concat", "sum", "mul", "ave"):
            raise ValueError(
                f"`merge_mode` must be 'concat', 'sum', 'mul' or 'ave'. Received: merge_mode={merge_mode!r}"
            )
        self.units = [checks.positive_int(f"units[{k}]", size) for k, size in enumerate(units)]
        self.dropout = checks.rate("dropout", dropout)
        self.bidirectional = checks.flag("bidirectional", bidirectional)
        self.merge_mode = merge_mode
        self.return_sequences = checks.flag("return_sequences", return_sequences)
        self.return_state = checks.flag("return_state", return_state)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.layers = [self._layer(k) for k in range(len(self.units))]
        self.between = [
            keras.layers.Dropout(self.dropout, seed=self._seed(len(self.units) + k), dtype=self.dtype_policy)
            for k in range(len(self.units) - 1)
        ]

    @property
    def stateful(self):
        return self.layers[0].stateful

    def _seed(self, offset):
        return None if self.seed is None else self.seed + offset

    def _layer(self, k):
        last = k == len(self.units) - 1
        # An initializer without a seed gives one matrix for ever: each layer gets its own.
        options = {n: v.clone() if hasattr(v, "clone") else v for n, v in self._options.items()}
        layer = VanillaRNN(
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

    def build(self, sequences_shape, initial_state_shape=None):
        shape = tuple(sequences_shape)
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)[0]

    def call(self, sequences, initial_state=None, mask=None, training=False):
        states = self._per_layer("initial_state", initial_state)
        output, final = sequences, []
        for k, layer in enumerate(self.layers):
            output, *state = layer(output, initial_state=states[k], mask=mask, training=training)
            final += state
            if k < len(self.between):
                output = self.between[k](output, training=training)
        return (output, *final) if self.return_state else output

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        shape, states = tuple(sequences_shape), []
        for layer in self.layers:
            shape, *state = layer.compute_output_shape(shape)
            states += state
        return (shape, *states) if self.return_state else shape

    def compute_mask(self, inputs, previous_mask):
        mask = keras.tree.flatten(previous_mask)[0] if self.return_sequences else None
        return [mask] + [None] * self._state_count if self.return_state else mask

    def reset_state(self, states=None):
        """Sets the states that the next batch starts from, with `stateful=True`; zeros by default."""
        for layer, part in zip(self.layers, self._per_layer("states", states), strict=True):
            layer.reset_state(part)

    def reset_states(self, states=None):
        """Alias of `reset_state`, as in Keras."""
        self.reset_state(states)

    @property
    def _state_count(self):
        return len(self.units) * (2 if self.bidirectional else 1)

    def _per_layer(self, name, states):
        if states is None:
            return [None] * len(self.units)
        if not isinstance(states, (list, tuple)) or len(states) != self._state_count:
            received = f"a list of {len(states)}" if isinstance(states, (list, tuple)) else "one tensor"
            raise ValueError(
                f"{checks.named(self)}: `{name}` must be a list of {self._state_count} tensors, layer by layer"
                f"{', forward then backward' if self.bidirectional else ''}. Received {received}."
            )
        width = self._state_count // len(self.units)
        return [list(states[k * width : (k + 1) * width]) for k in range(len(self.units))]

    def get_config(self):
        first = self.layers[0].forward_layer if self.bidirectional else self.layers[0]
        # As Bidirectional forces zero_output_for_mask, the user's own value is taken from the options.
        options = {n: v for n, v in first.get_config().items() if n in self._options}
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
        }
