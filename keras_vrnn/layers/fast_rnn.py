"""FastRNN over a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_vrnn._types import Activation, KerasObject, LayerOptions
from keras_vrnn.layers.fast_cell import ALPHA, BETA, FastRNNCell
from keras_vrnn.layers.vanilla_rnn import VanillaRNN

if TYPE_CHECKING:
    from typing_extensions import Unpack


@keras.saving.register_keras_serializable(package="keras_vrnn")
class FastRNN(VanillaRNN):
    """A FastRNN over a sequence: a vanilla RNN with a weighted residual connection.

        h_t = α·φ(x_t·W_x + h_{t-1}·W_h + b) + β·h_{t-1}    for t = 1 … T

    Kusupati et al. 2018, "FastGRNN", section 3.1. α = sigmoid(alpha) and β = sigmoid(beta) are two trainable scalars,
    the last weights of the layer. Where a vanilla RNN forgets, FastRNN carries states and gradients over about 1/α
    steps, for two more weights. The loop and its gradient are those of `VanillaRNN`.

    Args:
        units, activation, …, zero_output_for_mask: See `VanillaRNN`.
        alpha_initializer, beta_initializer: See `FastRNNCell`.

    Call arguments, returns, raises: See `VanillaRNN`.

    Examples:
        >>> layer = FastRNN(4, return_sequences=True, return_state=True)
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
        alpha_initializer: KerasObject = ALPHA,
        beta_initializer: KerasObject = BETA,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        cell = FastRNNCell(
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
            alpha_initializer=alpha_initializer,
            beta_initializer=beta_initializer,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="fast_rnn_cell",
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

    def get_config(self) -> dict[str, Any]:
        cell = self.cell.get_config()
        own = {name: cell[name] for name in ("alpha_initializer", "beta_initializer")}
        return {**super().get_config(), **own}
