"""The vanilla RNN over a sequence: masks, states, outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vrnn import _checks as checks
from keras_vrnn._types import Activation, KerasObject, LayerOptions, Shape, Tensor
from keras_vrnn.layers import call_checks
from keras_vrnn.layers.cell import VanillaRNNCell
from keras_vrnn.layers.recurrence import recur

if TYPE_CHECKING:
    from typing_extensions import Unpack

_STATE_KEY = "rnn_state_"


@keras.saving.register_keras_serializable(package="keras_vrnn")
class VanillaRNN(keras.layers.SimpleRNN):
    """An Elman RNN over a sequence.

        h_t = φ(x_t·W_x + h_{t-1}·W_h + b)    for t = 1 … T

    The arguments with their order and defaults, and the weights, are the same as in `keras.layers.SimpleRNN`:
    `set_weights` works in both directions.

    Args:
        units: Size of the state and of the output.
        activation: φ, a name or callable; None is the identity.
        use_bias: Whether to add b.
        kernel_initializer, recurrent_initializer, bias_initializer: Where W_x, W_h and b start; see
            docs/initializers.md.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties on W_x, W_h and b.
        activity_regularizer: Penalty on the output.
        kernel_constraint, recurrent_constraint, bias_constraint: Projections of W_x, W_h and b after an update.
        dropout, recurrent_dropout: Fractions of the features of x_t and of the units of h_{t-1} to drop in training;
            one mask per sequence, for all its steps.
        return_sequences: Whether to return h_t of all steps, (batch, time, units), or h_T, (batch, units).
        return_state: Whether to return the final state, (batch, units), after the output.
        go_backwards: Whether to read the sequence from its end. The outputs, and the mask passed on with them, are
            in the order of processing.
        stateful: Whether row i of a batch starts from the final state of row i of the previous batch, until
            `reset_state`. Needs a fixed batch size. The state is saved in `.keras` files.
        unroll: Whether to write the steps out instead of looping: larger programs, for short sequences only.
        seed: Integer seed of the dropout masks.
        zero_output_for_mask: Whether outputs of masked steps are zeros, with `return_sequences`. The state, and the
            output without `return_sequences`, always belong to the last step that is not masked.

    Call arguments:
        sequences: Shape (batch, time, features).
        initial_state: h_0, shape (batch, units), bare or in a list of one; zeros by default.
        mask: Bool, shape (batch, time); a step that is False leaves the state unchanged.
        training: Whether dropout applies.

    Returns:
        The output, or (output, final state) with `return_state`.

    Raises:
        ValueError: A wrong rank, shape or option; the message names the argument, the value and what is expected.

    Examples:
        >>> layer = VanillaRNN(4, return_sequences=True, return_state=True)
        >>> outputs, state = layer(np.ones((2, 5, 3), "float32"))
        >>> tuple(outputs.shape), tuple(state.shape)
        ((2, 5, 4), (2, 4))
    """

    def __init__(
        self,
        units: int,
        activation: Activation = "tanh",
        use_bias: bool = True,
        kernel_initializer: KerasObject = "glorot_uniform",
        recurrent_initializer: KerasObject = "orthogonal",
        bias_initializer: KerasObject = "zeros",
        kernel_regularizer: KerasObject = None,
        recurrent_regularizer: KerasObject = None,
        bias_regularizer: KerasObject = None,
        activity_regularizer: KerasObject = None,
        kernel_constraint: KerasObject = None,
        recurrent_constraint: KerasObject = None,
        bias_constraint: KerasObject = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        *,
        zero_output_for_mask: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        cell = VanillaRNNCell(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="vanilla_rnn_cell",
        )
        self._init_around(
            cell,
            activity_regularizer=activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            **kwargs,
        )

    def _init_around(
        self,
        cell: VanillaRNNCell,
        activity_regularizer: KerasObject,
        zero_output_for_mask: bool,
        **options: Any,
    ) -> None:
        """The rest of the constructor: makes the layer that runs `cell`."""
        for name in ("return_sequences", "return_state", "go_backwards", "stateful", "unroll"):
            options[name] = checks.flag(name, options[name])
        # SimpleRNN.__init__ would build a cell of its own; the rest of it is RNN's.
        super(keras.layers.SimpleRNN, self).__init__(
            cell,
            zero_output_for_mask=checks.flag("zero_output_for_mask", zero_output_for_mask),
            activity_regularizer=call_checks.resolved(
                "regularizers", "activity_regularizer", activity_regularizer
            ),
            **options,
        )
        # Keras' own check of the rank names neither the missing axis nor the fix: see `call_checks`.
        self.input_spec = None
        # Keras 3.16 drops the mask of RNN layers unless this is set.
        self.supports_masking = True

    def build(self, sequences_shape: Shape, initial_state_shape: Shape = None) -> None:
        call_checks.sequences_shape(self, sequences_shape)
        if self.stateful and sequences_shape[0] is None:
            must = "have a fixed batch size with `stateful=True`"
            fix = "Give it in `keras.Input(batch_shape=(batch, time, features))`."
            received = f"shape {tuple(sequences_shape)}"
            raise call_checks.refused(self, "sequences", must, received, fix)
        super().build(sequences_shape)

    def compute_output_shape(self, sequences_shape: Shape, initial_state_shape: Shape = None) -> Any:
        call_checks.sequences_shape(self, sequences_shape)
        return super().compute_output_shape(sequences_shape)

    def compute_mask(self, inputs: Tensor, previous_mask: Any) -> Any:
        """The mask of the outputs: reversed with `go_backwards`, as the outputs are."""
        mask = keras.tree.flatten(previous_mask)[0]
        if mask is not None and self.go_backwards and self.return_sequences:
            mask = ops.flip(mask, axis=1)
        output_mask = mask if self.return_sequences else None
        return [output_mask, None] if self.return_state else output_mask

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor = None, training: bool = False
    ) -> Any:
        call_checks.sequences_shape(self, sequences.shape)
        if self.unroll and sequences.shape[1] is None:
            must = "have a fixed number of time steps with `unroll=True`"
            fix = "Give the time dimension in `keras.Input(shape=(time, features))`, or leave `unroll=False`."
            received = f"shape {tuple(sequences.shape)}"
            raise call_checks.refused(self, "sequences", must, received, fix)
        state = self._starting_state(sequences, initial_state)
        if mask is not None:
            call_checks.mask_shape(self, mask.shape, sequences.shape)
            mask = ops.cast(mask if len(mask.shape) == 2 else ops.squeeze(mask, -1), "bool")
        try:
            last_output, outputs, states = self.inner_loop(
                sequences=sequences, initial_state=[state], mask=mask, training=training
            )
        finally:
            self.cell.reset_dropout_mask()
            self.cell.reset_recurrent_dropout_mask()
        if self.stateful:
            for variable, value in zip(self.states, states, strict=True):
                variable.assign(ops.cast(value, variable.dtype))
        output = ops.cast(outputs if self.return_sequences else last_output, self.compute_dtype)
        if self.return_state:
            return output, *(ops.cast(value, self.compute_dtype) for value in states)
        return output

    def inner_loop(
        self, sequences: Tensor, initial_state: Any, mask: Tensor, training: bool = False
    ) -> tuple[Any, Any, list]:
        """Runs the recurrence and nothing else: the seam at which a model is exported or analysed.

        `call` does the checks, the choice of outputs, the casts and the stateful variables.

        Args:
            sequences: Shape (batch, time, features), in the original time order.
            initial_state: List of one tensor h_0, shape (batch, units).
            mask: Bool, shape (batch, time), in the original time order, or None.
            training: Whether dropout applies.

        Returns:
            last_output: h after the last step processed, shape (batch, units).
            outputs: h after each step, shape (batch, time, units), in the order of processing (from the end with
                `go_backwards`); zeros at masked steps with `zero_output_for_mask`. Meaningful only with
                `return_sequences`.
            states: List of one tensor, the final state; the same as `last_output`.
        """
        last_output, outputs, states = self.recur(sequences, initial_state[0], mask, training)
        if mask is not None and self.return_sequences and self.zero_output_for_mask:
            in_order = ops.flip(mask, axis=1) if self.go_backwards else mask
            outputs = ops.where(ops.expand_dims(in_order, -1), outputs, ops.zeros_like(outputs))
        return last_output, outputs, states

    def recur(self, sequences: Tensor, state: Tensor, mask: Tensor, training: bool) -> tuple[Any, Any, list]:
        """The loop of `inner_loop`, before outputs of masked steps are set to zero; subclasses may have another."""
        return recur(self, sequences, state, mask, training)

    def _starting_state(self, sequences: Tensor, initial_state: Any) -> Any:
        batch = sequences.shape[0]
        if initial_state is None:
            if not self.stateful:
                initial_state = self.get_initial_state(batch_size=ops.shape(sequences)[0])
            else:
                initial_state = self.states
                expected = initial_state[0].shape[0]
                if batch is not None and batch != expected:
                    must = f"keep the batch size {expected} with `stateful=True`"
                    received = f"shape {tuple(sequences.shape)}, batch size {batch}"
                    raise call_checks.refused(self, "sequences", must, received)
        state = call_checks.one_state(self, "initial_state", initial_state)
        call_checks.state_shape(self, "initial_state", state.shape, batch, self.units)
        state = ops.convert_to_tensor(state, dtype=self.cell.compute_dtype)
        # PyTorch changes variables in place, which would corrupt what the backward pass reads.
        return ops.copy(state) if self.stateful else state

    def reset_state(self, states: Any = None) -> None:
        """Sets the state that the next batch starts from, with `stateful=True`.

        Args:
            states: Shape (batch, units), bare or in a list of one; zeros by default.
        """
        if self.states is None:
            if states is not None:
                raise ValueError(
                    f"{call_checks.named(self)}: `reset_state(states)` needs a built layer with `stateful=True`. "
                    f"Received: stateful={self.stateful}, built={self.built}."
                )
            return
        variable = self.states[0]
        if states is None:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
            return
        state = ops.convert_to_tensor(call_checks.one_state(self, "states", states), dtype=variable.dtype)
        call_checks.state_shape(self, "states", state.shape, *variable.shape)
        variable.assign(state)

    def reset_states(self, states: Any = None) -> None:
        """Alias of `reset_state`, as in Keras."""
        self.reset_state(states)

    @property
    def variables(self) -> list:
        """All variables, including the state of a stateful layer, which Keras leaves out and JAX training needs."""
        return [*super().variables, *(self.states or ())]

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for index, variable in enumerate(self.states or ()):
            store[f"{_STATE_KEY}{index}"] = variable

    def load_own_variables(self, store: Any) -> None:
        # Without a state of that shape (weights of a batch of 32 loaded for a batch of 1, files written by
        # Keras) the layer starts from zeros.
        keys = list(store.keys())  # an H5 entry cannot be iterated
        saved = {key: store[key] for key in keys if key.startswith(_STATE_KEY)}
        super().load_own_variables({key: store[key] for key in keys if key not in saved})
        for index, variable in enumerate(self.states or ()):
            value = saved.get(f"{_STATE_KEY}{index}")
            if value is not None and tuple(value.shape) == tuple(variable.shape):
                variable.assign(value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.cell.seed}
