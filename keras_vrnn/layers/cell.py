"""One step of the vanilla RNN."""

import keras
from keras import ops

from keras_vrnn import _checks as checks


@keras.saving.register_keras_serializable(package="keras_vrnn")
class VanillaRNNCell(keras.layers.SimpleRNNCell):
    """h_t = φ(x_t·W_x + h_{t-1}·W_h + b)

    One step of the Elman network (Elman 1990, "Finding Structure in Time", section "Networks with memory").
    Arguments, their order and defaults, and the weights `kernel` (features, units), `recurrent_kernel`
    (units, units), `bias` (units,) are those of `keras.layers.SimpleRNNCell`: `set_weights` carries over
    both ways. The recurrence over a sequence is `VanillaRNN`; this cell also works in `keras.layers.RNN`
    and `keras.layers.StackedRNNCells`.

    Args:
        units: Positive integer, size of the state and of the output.
        activation: φ, any callable or name of `keras.activations`; None is the identity.
        use_bias: Whether b is there.
        kernel_initializer, recurrent_initializer, bias_initializer: Initializers of W_x, W_h and b.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties on W_x, W_h and b.
        kernel_constraint, recurrent_constraint, bias_constraint: Projections of the same after an update.
        dropout: Fraction of the features of x_t to drop in training, in [0, 1].
        recurrent_dropout: Fraction of the units of h_{t-1} to drop in training, in [0, 1]. Both masks are
            drawn once a sequence and hold for all its steps (Gal & Ghahramani 2016, equation 7).
        seed: Integer seed of the dropout masks; kept in the config.

    Raises:
        ValueError: An argument out of its range; nothing is clamped.

    Example:
    >>> cell = VanillaRNNCell(4)
    >>> h, states = cell(np.ones((2, 3), "float32"), [np.zeros((2, 4), "float32")])
    >>> tuple(h.shape)
    (2, 4)
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
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            units=checks.positive_int("units", units),
            activation=checks.resolved("activations", "activation", activation),
            use_bias=checks.flag("use_bias", use_bias),
            kernel_initializer=checks.resolved("initializers", "kernel_initializer", kernel_initializer),
            recurrent_initializer=checks.resolved(
                "initializers", "recurrent_initializer", recurrent_initializer
            ),
            bias_initializer=checks.resolved("initializers", "bias_initializer", bias_initializer),
            kernel_regularizer=checks.resolved("regularizers", "kernel_regularizer", kernel_regularizer),
            recurrent_regularizer=checks.resolved(
                "regularizers", "recurrent_regularizer", recurrent_regularizer
            ),
            bias_regularizer=checks.resolved("regularizers", "bias_regularizer", bias_regularizer),
            kernel_constraint=checks.resolved("constraints", "kernel_constraint", kernel_constraint),
            recurrent_constraint=checks.resolved("constraints", "recurrent_constraint", recurrent_constraint),
            bias_constraint=checks.resolved("constraints", "bias_constraint", bias_constraint),
            dropout=checks.rate("dropout", dropout),
            recurrent_dropout=checks.rate("recurrent_dropout", recurrent_dropout),
            seed=checks.seed("seed", seed),
            **kwargs,
        )

    def call(self, sequence, states, training=False):
        """One step.

        Args:
            sequence: x_t, shape (batch, features).
            states: h_{t-1}, shape (batch, units), bare or in a list of one.
            training: Whether the dropout masks apply.

        Returns:
            h_t, shape (batch, units), and the new states: h_t, in a list if `states` was one.
        """
        nested = isinstance(states, (list, tuple))
        x, h = sequence, states[0] if nested else states
        # The masks are cached by Keras' DropoutRNNCell until the sequence is over.
        if training and self.dropout > 0:
            x = x * self.get_dropout_mask(x)
        if training and self.recurrent_dropout > 0:
            h = h * self.get_recurrent_dropout_mask(h)
        z = ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel)
        if self.bias is not None:
            z = z + self.bias
        h = self.activation(z)
        return h, [h] if nested else h
