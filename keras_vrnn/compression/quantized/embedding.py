"""The embedding that computes the integers of the exported file."""

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import INT8_MAX, LEAST_SCALE, Quantization, short
from keras_vrnn.quantization.schemes import SCHEMES


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedEmbedding(signals.Quantized, keras.layers.Embedding):
    """An `Embedding` that returns the integers of the exported file; made by `kv.compression.quantize_aware`.

    The format follows from the table at each step. At int8, the file's table has the format of the result. At int16x8
    it is an int8 table, whose rows a QUANTIZE brings to int16.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for `Embedding`.
    """

    def call(self, inputs):
        rows = super().call(inputs)
        if signals.is_calibrating():
            return rows
        table = ops.cast(ops.stop_gradient(ops.convert_to_tensor(self.embeddings)), "float64")
        scheme = SCHEMES[self.scheme]
        out = short(scheme.format(ops.min(table), ops.max(table)), scheme.dtype)
        stored, constants = out, {}
        if scheme.dtype == np.int16:
            scale = ops.maximum(ops.max(ops.abs(table)) / INT8_MAX, LEAST_SCALE)
            stored = short(Quantization(scale), np.int8)
            constants["embeddings"] = self.embeddings, ops.reshape(stored.scale, (1,))
        signals.note(self, {"out": out}, constants)
        whole = ops.round(ops.cast(ops.stop_gradient(rows), "float64") / stored.scale)
        integers = integer.clamp(ops.cast(whole, "int64") + stored.zero_point, stored, np.int8)
        if stored is not out:
            integers = integer.requantize(integers, stored, out, scheme.dtype)
        # No weight is beyond the range of its own table, so every row gets its gradient.
        return signals.carrying(signals.straight_through(rows, integer.dequantize(integers, out)), out)

    def plain(self, inputs, note, mark, **_):
        """Returns what the file computes as float operators, whose results `mark` gives their formats.

        A GATHER alone: Keras counts negative tokens from the end of the table, which takes more operators.
        """
        import tensorflow as tf

        rows = tf.gather(tf.convert_to_tensor(self.embeddings), tf.cast(inputs, tf.int32))
        return mark(rows, note.formats["out"])
