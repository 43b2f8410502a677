"""Convolutions over time that compute the integers of the exported file.

    y_t = φ(Σ_k x_{s·t + d·k}·W_k + b)

The weights have one scale per output channel in every scheme.
"""

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized.linear import Linear
from keras_vrnn.compression.quantized.views import padding, views

_EXACT = 1 << 24  # the integers that float32 holds


class _Convolution(Linear):
    """What both convolutions share; a mixin."""

    _single_scale = False

    def build(self, input_shape):
        if self.data_format != "channels_last":
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): data_format={self.data_format!r} has no integer form. "
                "Use data_format='channels_last'."
            )
        self._ends(input_shape[1])
        super().build(input_shape)

    def _per_output(self, scale):
        return ops.reshape(scale, (-1,))

    def _views(self, x):
        """Returns what the windows read at each of their positions, (batch, results, positions, channels)."""
        window = self.kernel_size[0], self.strides[0], self.dilation_rate[0]
        return ops.stack(views(x, self._ends(x.shape[1]), *window), axis=2)

    def _ends(self, steps):
        return padding(self, steps, self.kernel_size[0], self.dilation_rate[0])

    def _convolved(self, function, x, kernel, bias):
        """Returns a convolution of floats by a function of keras.ops."""
        same = self.padding == "same"
        if not same:
            x = ops.pad(x, ((0, 0), self._ends(None), (0, 0)))
        made = function(
            x,
            ops.convert_to_tensor(kernel),
            strides=self.strides[0],
            padding="same" if same else "valid",
            dilation_rate=self.dilation_rate[0],
            data_format="channels_last",
        )
        return made if bias is None else made + bias


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedConv1D(_Convolution, keras.layers.Conv1D):
    """A `Conv1D` that computes the integers of the exported file; made by `kv.compression.quantize_aware`."""

    def _linear(self, x, kernel, bias):
        return self._convolved(ops.conv, x, kernel, bias)

    def _exact_linear(self, x, kernel):
        from keras_vrnn.compression.quantized.step import exact_product

        x, dtype = self._views(x), self.signals.scheme.dtype
        size, width, _ = kernel.shape
        parts = [
            exact_product(_flat(view, size * width), ops.reshape(w, (size * width, -1)), dtype)
            for view, w in zip(
                ops.split(x, self.groups, axis=-1), ops.split(kernel, self.groups, axis=-1), strict=True
            )
        ]
        return ops.concatenate(parts, axis=-1)

    def _axes(self):
        return (0, 1)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedDepthwiseConv1D(_Convolution, keras.layers.DepthwiseConv1D):
    """A `DepthwiseConv1D` that computes the integers of the exported file; made by `kv.compression.quantize_aware`."""

    def _linear(self, x, kernel, bias):
        return self._convolved(ops.depthwise_conv, x, kernel, bias)

    def _exact_linear(self, x, kernel):
        dtype = self.signals.scheme.dtype
        levels = np.iinfo(dtype).max - np.iinfo(dtype).min
        exact = "float32" if kernel.shape[0] * levels * np.iinfo(np.int8).max <= _EXACT else "float64"
        view = ops.cast(self._views(x), exact)
        sums = ops.einsum("btkc,kcm->btcm", view, ops.cast(kernel, exact))
        return _flat(sums, kernel.shape[1] * kernel.shape[2])

    def _axes(self):
        return (0,)


def _flat(x, size):
    """Merges the last two axes of a tensor (batch, time, …)."""
    return ops.reshape(x, (*ops.shape(x)[:2], size))
