"""The input of a quantization-aware model."""

import keras
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.quantization import integer

INPUT_SUFFIX = "_integers"  # of a layer's name, after that of its input


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedInput(signals.Quantized):
    """Rounds a float input of the model to the integers that the file reads.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        self.signals = signals.Signals(self, ("x",), self.scheme)

    def call(self, inputs, training=None):
        if signals.is_calibrating():
            self.signals.widen({"x": ops.convert_to_numpy(inputs)})
            return ops.convert_to_tensor(inputs)
        if training:
            self.signals.average(signals.ends(inputs))
        x, dtype = self.signals.format("x"), self.signals.scheme.dtype
        signals.note(self, {"x": x})
        # As `tflite.Runner` and the C++ sources round what they pass to the file.
        integers = integer.clamp(signals.integers_of(inputs, x), x, dtype)
        return signals.rounded(ops.convert_to_tensor(inputs), integers, x, dtype)

    def plain(self, inputs, note, mark, **_):
        """Returns what the file computes as float operators, whose results `mark` gives their formats."""
        return mark(inputs, note.formats["x"])

    def compute_output_shape(self, input_shape):
        return input_shape
