"""Means over time that compute the integers of the exported file."""

import keras
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.views import padding, views
from keras_vrnn.quantization import pooling
from keras_vrnn.quantization.schemes import SCHEMES


class _Pooling(signals.Quantized):
    """What both layers share; a mixin of a Keras layer."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.data_format != "channels_last":
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): data_format={self.data_format!r} has no integer form. "
                "Use data_format='channels_last'."
            )

    def plain(self, inputs, note, mark, **_):
        """Returns what the file computes as float operators, whose results `mark` gives their formats."""
        return mark(super().call(inputs), note.formats["out"])


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedAveragePooling1D(_Pooling, keras.layers.AveragePooling1D):
    """An `AveragePooling1D` that computes the integers of the exported file.

    The mean is rounded to an integer of the input's format. Made by `kv.compression.quantize_aware`.
    """

    def build(self, input_shape):
        self._ends(input_shape[1])
        super().build(input_shape)

    def call(self, inputs):
        made = super().call(inputs)
        if signals.is_calibrating():
            return made
        x = signals.format_of(inputs, self)
        signals.note(self, {"out": x})
        integers = signals.integers_of(inputs, x)
        total, count = self._sum(integers), self._sum(ops.ones_like(integers[:, :, :1]))
        return signals.rounded(made, pooling.rounded_mean(total, count), x, SCHEMES[self.scheme].dtype)

    def _sum(self, x):
        return sum(views(x, self._ends(x.shape[1]), self.pool_size[0], self.strides[0]))

    def _ends(self, steps):
        return padding(self, steps, self.pool_size[0])


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedGlobalAveragePooling1D(_Pooling, keras.layers.GlobalAveragePooling1D):
    """A `GlobalAveragePooling1D` that computes the integers of the exported file.

    The mean has a format of its own. Made by `kv.compression.quantize_aware`.
    """

    def build(self, input_shape):
        if input_shape[1] is None:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): the integer mean needs the number of steps, which "
                "varies. Give the model an Input of fixed length."
            )
        super().build(input_shape)
        self.signals = signals.Signals(self, ("out",), self.scheme)

    def call(self, inputs, mask=None, training=None):
        if mask is not None:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): a mean over masked steps has no integer form in "
                "training. Use the last state of the recurrence or GlobalMaxPooling1D, or remove the mask."
            )
        real = super().call(inputs)
        if signals.is_calibrating():
            self.signals.widen({"out": ops.convert_to_numpy(real)})
            return real
        x, y, dtype = signals.format_of(inputs, self), self.signals.format("out"), self.signals.scheme.dtype
        if training:
            self.signals.average(signals.ends(real))
        signals.note(self, {"out": y})
        sums = ops.sum(signals.integers_of(inputs, x) - x.zero_point, axis=1, keepdims=self.keepdims)
        return signals.rounded(real, pooling.mean_of_sums(sums, inputs.shape[1], x, y, dtype), y, dtype)
