"""One step of the vanilla RNN."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_vrnn")
class VanillaRNNCell(keras.layers.SimpleRNNCell):
    """h_t = φ(x_t·W_x + h_{t-1}·W_h + b)

    One step of the Elman network (Elman 1990, "Finding Structure in Time").
    """

    def call(self, sequence, states, training=False):
        nested = isinstance(states, (list, tuple))
        x, h = sequence, states[0] if nested else states
        if training and self.dropout > 0:
            x = x * self.get_dropout_mask(x)
        if training and self.recurrent_dropout > 0:
            h = h * self.get_recurrent_dropout_mask(h)
        z = ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel)
        if self.bias is not None:
            z = z + self.bias
        h = self.activation(z)
        return h, [h] if nested else h
