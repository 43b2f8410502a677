"""Both directions of a recurrence with the integers of the exported file."""

import keras
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.merging import added, concatenated, same_format
from keras_vrnn.layers import Bidirectional

MERGE_MODES = ("concat", "sum", None)


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedBidirectional(signals.Quantized, Bidirectional):
    """A `Bidirectional` that computes the integers of the exported file; made by `kv.compression.quantize_aware`.

    "sum", and "concat" of states with two formats, have a format of their own.

    Args:
        layer, backward_layer: `QuantizedVanillaRNN`s.
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for `Bidirectional`.
    """

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape)
        self.signals = signals.Signals(self, ("out",), self.scheme)

    def call(self, sequences, initial_state=None, mask=None, training=None):
        outputs, formats, states = self._directions(sequences, initial_state, mask, training)
        if self.merge_mode is None:
            for output, quantization in zip(outputs, formats, strict=True):
                signals.carrying(output, quantization)
            return self._returned(tuple(outputs), states)
        real = self._merge(*outputs)
        if signals.is_calibrating():
            self.signals.widen({"out": ops.convert_to_numpy(real)})
            return self._returned((real,), states)
        if training:
            self.signals.average(signals.ends(real))
        scheme, out = self.signals.scheme, self.signals.format("out")
        if self.merge_mode == "sum":
            made, out = added(outputs, formats, out, scheme)
        else:
            if (shared := same_format(formats)) is not None:
                formats, out = [shared, shared], shared
            made = concatenated(outputs, formats, out, -1, scheme.dtype)
        signals.note(self, {"out": out})
        return self._returned((made,), states)

    def plain(self, sequences, note, mark, initial_state=None, mask=None, **_):
        """Returns what the file computes as float operators, whose results `mark` gives their formats."""
        outputs, _, states = self._directions(sequences, initial_state, mask, False)
        return self._returned((mark(self._merge(*outputs), note.formats["out"]),), states)

    def _directions(self, sequences, initial_state, mask, training):
        """Returns the outputs of both directions in the order of time, their formats, and all final states."""
        starts = (None, None) if initial_state is None else self._split("initial_state", initial_state)
        outputs, states = [], []
        for layer, start in zip((self.forward_layer, self.backward_layer), starts, strict=True):
            output = layer(sequences, initial_state=start, mask=mask, training=training)
            if self.return_state:
                output, *final = output
                states += final
            outputs.append(output)
        formats = [signals.carried(output) for output in outputs]
        if self.return_sequences:
            outputs[1] = ops.flip(outputs[1], axis=1)
        return outputs, formats, states

    def _merge(self, y, y_backwards):
        return y + y_backwards if self.merge_mode == "sum" else ops.concatenate([y, y_backwards], axis=-1)

    def _returned(self, outputs, states):
        made = (*outputs, *states)
        return made[0] if len(made) == 1 else made
