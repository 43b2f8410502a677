"""One step of the vanilla RNN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vrnn import _checks as checks
from keras_vrnn._types import Activation, KerasObject, LayerOptions, Tensor
from keras_vrnn.layers.call_checks import named, resolved

if TYPE_CHECKING:
    from typing_extensions import Unpack


@keras.saving.register_keras_serializable(package="keras_vrnn")
class VanillaRNNCell(keras.layers.SimpleRNNCell):
    """A single step of an Elman RNN.

        h_t = φ(x_t·W_x + h_{t-1}·W_h + b)

    Elman 1990, "Finding Structure in Time", section "Networks with memory". The arguments with their order and
    defaults, and the weights `kernel` (features, units), `recurrent_kernel` (units, units) and `bias` (units,), are
    the same as in `keras.layers.SimpleRNNCell`: `set_weights` works in both directions. `VanillaRNN` runs the step
    over a sequence; this cell also works in `keras.layers.RNN` and `keras.layers.StackedRNNCells`.

    Args:
        units: Positive integer, size of the state and of the output.
        activation: φ, any callable or name of `keras.activations`; None is the identity.
        use_bias: Whether to add b.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers of W_x, W_h and b.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties on W_x, W_h and b.
        kernel_constraint, recurrent_constraint, bias_constraint: Projections of W_x, W_h and b after an update.
        dropout: Fraction of the features of x_t to drop in training, in [0, 1].
        recurrent_dropout: Fraction of the units of h_{t-1} to drop in training, in [0, 1]. Both masks are
            drawn once per sequence and apply to all its steps (Gal & Ghahramani 2016, equation 7).
        seed: Integer seed of the dropout masks; kept in the config.

    Raises:
        ValueError: An argument is out of range; nothing is clamped.

    Examples:
        >>> cell = VanillaRNNCell(4)
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
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            units=checks.positive_int("units", units),
            activation=resolved("activations", "activation", activation),
            use_bias=checks.flag("use_bias", use_bias),
            kernel_initializer=resolved("initializers", "kernel_initializer", kernel_initializer),
            recurrent_initializer=resolved("initializers", "recurrent_initializer", recurrent_initializer),
            bias_initializer=resolved("initializers", "bias_initializer", bias_initializer),
            kernel_regularizer=resolved("regularizers", "kernel_regularizer", kernel_regularizer),
            recurrent_regularizer=resolved("regularizers", "recurrent_regularizer", recurrent_regularizer),
            bias_regularizer=resolved("regularizers", "bias_regularizer", bias_regularizer),
            kernel_constraint=resolved("constraints", "kernel_constraint", kernel_constraint),
            recurrent_constraint=resolved("constraints", "recurrent_constraint", recurrent_constraint),
            bias_constraint=resolved("constraints", "bias_constraint", bias_constraint),
            dropout=checks.rate("dropout", dropout),
            recurrent_dropout=checks.rate("recurrent_dropout", recurrent_dropout),
            seed=checks.seed("seed", seed),
            **kwargs,
        )

    def call(self, sequence: Tensor, states: Any, training: bool = False) -> tuple[Any, Any]:
        """Takes one step.

        Args:
            sequence: x_t, shape (batch, features).
            states: h_{t-1}, shape (batch, units), bare or in a list of one.
            training: Whether the dropout masks apply.

        Returns:
            h_t, shape (batch, units), and the new states: h_t, in a list if `states` was a list.
        """
        nested = isinstance(states, (list, tuple))
        x, h = sequence, states[0] if nested else states
        # Keras' DropoutRNNCell caches the masks until the end of the sequence.
        if training and self.dropout > 0:
            x = x * self.get_dropout_mask(x)
        if training and self.recurrent_dropout > 0:
            h = h * self.get_recurrent_dropout_mask(h)
        z = ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel)
        if self.bias is not None:
            z = z + self.bias
        h = self.activation(z)
        return h, [h] if nested else h

    def rates(self) -> tuple[Any, ...]:
        """The scalars by which a step mixes φ(…) and h_{t-1}: none, because h_t is φ(…)."""
        return ()

    def load_own_variables(self, store: Any) -> None:
        if self.built and not list(store.keys()):
            raise ValueError(
                f"{named(self)}: the file holds no weights for this cell. The file of a SimpleRNN model "
                "loads into `kv.Model` and `kv.Sequential`; elsewhere use `set_weights(simple_rnn.get_weights())`."
            )
        super().load_own_variables(store)
