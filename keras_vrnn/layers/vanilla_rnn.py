"""The vanilla RNN over a sequence: masks, states, outputs."""

import keras
from keras import ops

from keras_vrnn import _checks as checks
from keras_vrnn.layers.cell import VanillaRNNCell
from keras_vrnn.layers.recurrence import recur

_STATE_KEY = "rnn_state_"


@keras.saving.register_keras_serializable(package="keras_vrnn")
class VanillaRNN(keras.layers.SimpleRNN):
    """h_t = φ(x_t·W_x + h_{t-1}·W_h + b) for t = 1 … T

    The Elman network over a sequence. Arguments, their order and defaults, and the weights are those of
    `keras.layers.SimpleRNN`: `set_weights` carries over both ways.

    Args:
        units, activation, …, recurrent_dropout: See `VanillaRNNCell`.
        activity_regularizer: Penalty on the output.
        return_sequences: Whether to return h_t of all steps, (batch, time, units), or h_T, (batch, units).
        return_state: Whether to return the final state, (batch, units), after the output.
        go_backwards: Whether to go through the sequence from its end. Outputs, and the mask handed on with
            them, are in the order of processing.
        stateful: Whether row i of a batch starts from the state in which row i of the batch before ended,
            until `reset_state`. Needs a fixed batch size. The state is saved in `.keras` files.
        unroll: Whether to write the steps out instead of looping: larger programs, for short sequences only.
        seed: Integer seed of the dropout masks.
        zero_output_for_mask: Whether outputs of masked steps are zeros, with `return_sequences`. The state,
            and the output without `return_sequences`, is the one of the last step that counts in any case.

    Call arguments:
        sequences: Shape (batch, time, features).
        initial_state: h_0, shape (batch, units), bare or in a list of one; zeros by default.
        mask: Bool, shape (batch, time); a step that is False leaves the state as it was.
        training: Whether dropout applies.

    Returns:
        The output, or (output, final state) with `return_state`.

    Raises:
        ValueError: A wrong rank, shape or option; the message names argument, value and what is expected.

    Example:
    >>> layer = VanillaRNN(4, return_sequences=True, return_state=True)
    >>> outputs, state = layer(np.ones((2, 5, 3), "float32"))
    >>> tuple(outputs.shape), tuple(state.shape)
    ((2, 5, 4), (2, 4))
    """

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        seed=None,
        *,
        zero_output_for_mask=False,
        **kwargs,
    ):
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
        # SimpleRNN.__init__ would build a cell of its own; everything else of it is RNN's.
        super(keras.layers.SimpleRNN, self).__init__(
            cell,
            return_sequences=checks.flag("return_sequences", return_sequences),
            return_state=checks.flag("return_state", return_state),
            go_backwards=checks.flag("go_backwards", go_backwards),
            stateful=checks.flag("stateful", stateful),
            unroll=checks.flag("unroll", unroll),
            zero_output_for_mask=checks.flag("zero_output_for_mask", zero_output_for_mask),
            activity_regularizer=checks.resolved(
                "regularizers", "activity_regularizer", activity_regularizer
            ),
            **kwargs,
        )
        # Keras' own check of the rank says neither which axis is missing nor what to do: see `checks`.
        self.input_spec = None
        # Keras 3.16 drops the mask of RNN layers unless this is set.
        self.supports_masking = True

    def build(self, sequences_shape, initial_state_shape=None):
        checks.sequences_shape(self, sequences_shape)
        if self.stateful and sequences_shape[0] is None:
            raise ValueError(
                f"{checks.named(self)}: `stateful=True` needs a fixed batch size. Received `sequences` of shape "
                f"{tuple(sequences_shape)}. Give it in `keras.Input(batch_shape=(batch, time, features))`."
            )
        super().build(sequences_shape)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        checks.sequences_shape(self, sequences_shape)
        return super().compute_output_shape(sequences_shape)

    def compute_mask(self, inputs, previous_mask):
        """The mask of the outputs: reversed with `go_backwards`, as the outputs are."""
        mask = keras.tree.flatten(previous_mask)[0]
        if mask is not None and self.go_backwards and self.return_sequences:
            mask = ops.flip(mask, axis=1)
        output_mask = mask if self.return_sequences else None
        return [output_mask, None] if self.return_state else output_mask

    def call(self, sequences, initial_state=None, mask=None, training=False):
        checks.sequences_shape(self, sequences.shape)
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"{checks.named(self)}: `unroll=True` needs a fixed number of time steps. Received "
                f"`sequences` of shape {tuple(sequences.shape)}. Give the time dimension in "
                "`keras.Input(shape=(time, features))`, or leave `unroll=False`."
            )
        state = self._starting_state(sequences, initial_state)
        if mask is not None:
            checks.mask_shape(self, mask.shape, sequences.shape)
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

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """The recurrence, and nothing else: the seam at which a model is exported or analysed.

        Checks, choice of outputs, casts and stateful variables are `call`'s.

        Args:
            sequences: Shape (batch, time, features), in the original time order.
            initial_state: List of one tensor h_0, shape (batch, units).
            mask: Bool, shape (batch, time), in the original time order, or None.
            training: Whether dropout applies.

        Returns:
            last_output: h after the last step processed, shape (batch, units).
            outputs: h after each step, shape (batch, time, units), in the order of processing, that is from
                the end with `go_backwards`; zeros at masked steps with `zero_output_for_mask`. Meaningful only with
                `return_sequences`.
            states: List of one tensor, the final state; the same as `last_output`.
        """
        last_output, outputs, states = recur(self, sequences, initial_state[0], mask, training)
        if mask is not None and self.return_sequences and self.zero_output_for_mask:
            counts = ops.flip(mask, axis=1) if self.go_backwards else mask
            outputs = ops.where(ops.expand_dims(counts, -1), outputs, ops.zeros_like(outputs))
        return last_output, outputs, states

    def _starting_state(self, sequences, initial_state):
        batch = sequences.shape[0]
        if initial_state is None:
            if not self.stateful:
                initial_state = self.get_initial_state(batch_size=ops.shape(sequences)[0])
            else:
                initial_state = self.states
                expected = initial_state[0].shape[0]
                if batch is not None and batch != expected:
                    raise ValueError(
                        f"{checks.named(self)}: with `stateful=True` the batch size of `sequences` "
                        f"must stay {expected}. Received shape {tuple(sequences.shape)}, batch size {batch}."
                    )
        state = checks.one_state(self, "initial_state", initial_state)
        checks.state_shape(self, "initial_state", state.shape, batch, self.units)
        state = ops.convert_to_tensor(state, dtype=self.cell.compute_dtype)
        # PyTorch's variables change in place, under the feet of the backward pass.
        return ops.copy(state) if self.stateful else state

    def reset_state(self, states=None):
        """Sets the state that the next batch starts from, with `stateful=True`.

        Args:
            states: Shape (batch, units), bare or in a list of one; zeros by default.
        """
        if self.states is None:
            if states is not None:
                raise ValueError(
                    f"{checks.named(self)}: `reset_state(states)` needs a built layer with `stateful=True`. "
                    f"Received a layer with stateful={self.stateful}, built={self.built}."
                )
            return
        variable = self.states[0]
        if states is None:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
            return
        state = ops.convert_to_tensor(checks.one_state(self, "states", states), dtype=variable.dtype)
        checks.state_shape(self, "states", state.shape, *variable.shape)
        variable.assign(state)

    def reset_states(self, states=None):
        """Alias of `reset_state`, as in Keras."""
        self.reset_state(states)

    @property
    def variables(self):
        """All variables, the state of a stateful layer too: Keras leaves it out, and with it JAX training."""
        return [*super().variables, *(self.states or ())]

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for index, variable in enumerate(self.states or ()):
            store[f"{_STATE_KEY}{index}"] = variable

    def load_own_variables(self, store):
        # Without a state of that shape (weights of a batch of 32 loaded for a batch of 1, files written by
        # Keras) the layer starts from zeros.
        keys = list(store.keys())  # an H5 entry cannot be iterated
        saved = {key: store[key] for key in keys if key.startswith(_STATE_KEY)}
        super().load_own_variables({key: store[key] for key in keys if key not in saved})
        for index, variable in enumerate(self.states or ()):
            value = saved.get(f"{_STATE_KEY}{index}")
            if value is not None and tuple(value.shape) == tuple(variable.shape):
                variable.assign(value)

    def get_config(self):
        return {**super().get_config(), "seed": self.cell.seed}
