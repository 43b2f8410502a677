"""Layers that merge several tensors into one: Add and Concatenate."""

import keras
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.layers.call_checks import named
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import short


def same_format(formats):
    """Returns the format that all tensors have, or None.

    Formats with fixed numbers are compared by value. Trained formats are the same only if one layer made them all.
    """
    first, *others = formats
    numbers = all(isinstance(each.scale, float) for each in formats)
    return first if all(each is first or (numbers and each == first) for each in others) else None


def concatenated(tensors, formats, target, axis, dtype):
    """CONCATENATION: joins tensors, each brought to the format `target` by a QUANTIZE if it has another one."""
    parts = []
    for tensor, source in zip(tensors, formats, strict=True):
        if source is not target:
            exact = integer.requantize(signals.integers_of(tensor, source), source, target, dtype)
            tensor = signals.rounded(tensor, exact, target, dtype)
        parts.append(tensor)
    return signals.carrying(ops.concatenate(parts, axis=axis), target)


def added(tensors, formats, out, scheme):
    """ADD of two tensors.

    Args:
        tensors: two tensors of real numbers in their formats.
        formats: their formats.
        out: the `format` of the sum by its range.
        scheme: the `Scheme`.

    Returns:
        The sum, and its format: `out`, with a larger scale where one ADD could not compute it.
    """
    out = short(scheme.sum_formats(list(formats), out)[1], scheme.dtype)
    addition = integer.Addition.of(formats[0], formats[1], out, scheme.dtype)
    terms = [
        addition.term(signals.integers_of(tensor, source), position)
        for position, (tensor, source) in enumerate(zip(tensors, formats, strict=True))
    ]
    return signals.rounded(tensors[0] + tensors[1], addition.total(*terms), out, scheme.dtype), out


class _Merging(signals.Quantized):
    """What the layers of this file share; a mixin of a Keras layer."""

    def build(self, input_shape):
        super().build(input_shape)
        self.signals = signals.Signals(self, ("out",), self.scheme)

    def call(self, inputs, training=None):
        real = super().call(inputs)
        if signals.is_calibrating():
            self.signals.widen({"out": ops.convert_to_numpy(real)})
            return real
        if training:
            self.signals.average(signals.ends(real))
        formats = [signals.format_of(tensor, self) for tensor in inputs]
        made, out = self._merged(inputs, formats)
        signals.note(self, {"out": out})
        return made

    def _merged(self, inputs, formats):
        """Returns the merged tensor and its format."""
        raise NotImplementedError

    def plain(self, inputs, note, mark, **_):
        """Returns what the file computes as float operators, whose results `mark` gives their formats."""
        return mark(super().call(inputs), note.formats["out"])


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedAdd(_Merging, keras.layers.Add):
    """An `Add` of two tensors that computes the integers of the exported file."""

    def build(self, input_shape):
        if len(input_shape) != 2 or len({len(shape) for shape in input_shape}) != 1:
            raise ValueError(
                f"{named(self)}: it must have two inputs of equal rank, since the file adds two tensors at a time. "
                f"Received: shapes {[tuple(shape) for shape in input_shape]}. Write several Add layers with two "
                "inputs, or export the float model with kv.tflite.export(model, path, calibration_data=x)."
            )
        super().build(input_shape)

    def _merged(self, inputs, formats):
        return added(inputs, formats, self.signals.format("out"), self.signals.scheme)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedConcatenate(_Merging, keras.layers.Concatenate):
    """A `Concatenate` that computes the integers of the exported file."""

    def _merged(self, inputs, formats):
        target = same_format(formats)
        if target is None:
            target = self.signals.format("out")
        else:
            formats = [target] * len(formats)
        return concatenated(inputs, formats, target, self.axis, self.signals.scheme.dtype), target
