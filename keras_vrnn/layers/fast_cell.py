"""One step of FastRNN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vrnn._types import Activation, KerasObject, LayerOptions, Shape, Tensor
from keras_vrnn.layers.call_checks import resolved
from keras_vrnn.layers.cell import VanillaRNNCell

if TYPE_CHECKING:
    from typing_extensions import Unpack

# α = sigmoid(-3) ≈ 0.05 and β = sigmoid(3) ≈ 0.95, as in the authors' code.
ALPHA = keras.initializers.Constant(-3.0)
BETA = keras.initializers.Constant(3.0)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class FastRNNCell(VanillaRNNCell):
    """A single step of FastRNN, a vanilla RNN with a weighted residual connection.

        h_t = α·φ(x_t·W_x + h_{t-1}·W_h + b) + β·h_{t-1}    α = sigmoid(alpha), β = sigmoid(beta)

    Kusupati et al. 2018, "FastGRNN: A Fast, Accurate, Stable and Tiny Kilobyte Sized Gated Recurrent Neural Network",
    section 3.1. The two trainable scalars `alpha` and `beta`, of shape (), follow the weights of `VanillaRNNCell`. With
    α small and β = 1 - α, the gradient neither vanishes nor explodes over about 1/α steps. α and β start at 0.05 and
    0.95, as in the authors' code. `FastRNN` runs the step over a sequence; this cell also works in `keras.layers.RNN`
    and `keras.layers.StackedRNNCells`.

    Args:
        units, activation, …, seed: See `VanillaRNNCell`. `recurrent_dropout` applies to h_{t-1}·W_h, not to β·h_{t-1}.
        alpha_initializer, beta_initializer: Initializers of `alpha` and `beta`, before the sigmoid.

    Raises:
        ValueError: An argument is out of range; nothing is clamped.

    Examples:
        >>> cell = FastRNNCell(4)
        >>> h, states = cell(np.ones((2, 3), "float32"), [np.zeros((2, 4), "float32")])
        >>> tuple(h.shape)
        (2, 4)
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
        kernel_constraint: KerasObject = None,
        recurrent_constraint: KerasObject = None,
        bias_constraint: KerasObject = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        *,
        alpha_initializer: KerasObject = ALPHA,
        beta_initializer: KerasObject = BETA,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        alpha_initializer = resolved("initializers", "alpha_initializer", alpha_initializer)
        beta_initializer = resolved("initializers", "beta_initializer", beta_initializer)
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **kwargs,
        )
        self.alpha_initializer = alpha_initializer
        self.beta_initializer = beta_initializer

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.alpha = self.add_weight(shape=(), name="alpha", initializer=self.alpha_initializer)
        self.beta = self.add_weight(shape=(), name="beta", initializer=self.beta_initializer)

    def rates(self) -> tuple[Any, ...]:
        """(α, β), scalar tensors between 0 and 1."""
        return ops.sigmoid(self.alpha), ops.sigmoid(self.beta)

    def call(self, sequence: Tensor, states: Any, training: bool = False) -> tuple[Any, Any]:
        """Takes one step; arguments and results as in `VanillaRNNCell.call`."""
        nested = isinstance(states, (list, tuple))
        candidate, _ = super().call(sequence, states, training)
        alpha, beta = self.rates()
        h = alpha * candidate + beta * (states[0] if nested else states)
        return h, [h] if nested else h

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": keras.initializers.serialize(self.alpha_initializer),
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
        }
