"""The vanilla RNN that computes the integers of its exported file."""

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.layers import VanillaRNN
from keras_vrnn.layers.block import SLOPES
from keras_vrnn.layers.blocks import LONG, last_and_all, over_time
from keras_vrnn.layers.recurrence import results
from keras_vrnn.layers.stepping import run
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.vanilla import FUSED


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedVanillaRNN(signals.Quantized, VanillaRNN):
    """A `VanillaRNN` that computes, in training and inference, the integers of the file that it is exported to.

    The gradients are those of the float layer at the numbers that the integers stand for (straight-through). Made by
    `kv.compression.quantize_aware`.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for `VanillaRNN`.
    """

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape)
        self.signals = signals.LoopSignals(self, ("z", "r", "a", "h"), self.scheme)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        self._step = None
        if signals.is_calibrating():
            return super().call(sequences, initial_state, mask, training)
        self._step = self.step(signals.format_of(sequences, self))
        signals.note(self, self._step.formats, step=self._step)
        try:
            if initial_state is not None:
                initial_state = self._in_own_format(initial_state)
            made = super().call(sequences, initial_state, mask, training)
        finally:
            h, self._step = self._step.h, None
        for tensor in made if isinstance(made, (list, tuple)) else [made]:
            signals.carrying(tensor, h)
        return made

    def plain(self, sequences, note, mark_format, initial_state=None, mask=None, **_):
        """Returns what `VanillaRNN` does, for a trace in which the recurrence is replaced."""
        return super().call(sequences, initial_state, mask)

    def step(self, x):
        """Returns the `Step` of the layer for inputs in the format `x`."""
        from keras_vrnn.compression.quantized.step import Step

        cell = self.cell
        weights = [w for w in (cell.recurrent_kernel, cell.kernel, cell.bias) if w is not None]
        ranges = {name: self.signals.range(name) for name in self.signals.names}
        return Step(
            self.signals.scheme, x, ranges, weights, cell.activation, activation_name(cell.activation)
        )

    def recur(self, sequences, state, mask, training):
        if signals.is_calibrating():
            self._calibrate(sequences, state, mask)
            return super().recur(sequences, state, mask, training)
        from keras_vrnn.compression.quantized.block import QuantizedBlock

        cell = self.cell
        mask = None if mask is None else ops.expand_dims(mask, -1)
        input_mask = recurrent_mask = None
        if training and cell.dropout > 0:
            input_mask = ops.expand_dims(cell.get_dropout_mask(sequences[:, 0]), 1)
        if training and cell.recurrent_dropout > 0:
            recurrent_mask = cell.get_recurrent_dropout_mask(state)
        options = {"reverse": self.go_backwards, "unroll": self.unroll}
        block = QuantizedBlock(
            cell.activation,
            recurrent_mask,
            self.return_sequences,
            **options,
            integers=self._step,
            input_mask=input_mask,
            observe=self.signals.is_due,
        )
        # `ops.convert_to_tensor` would leave variables as they are.
        weights = [
            ops.cast(w, sequences.dtype)
            for w in (cell.recurrent_kernel, cell.kernel, cell.bias)
            if w is not None
        ]
        # Of long sequences, whose blocks are computed twice, the ranges stay as they are.
        if training and (sequences.shape[1] or 0) < LONG:
            output, ends = block.observed(sequences, mask, state, *weights)
            self.signals.average_if_due(ends)
            return results(self, *last_and_all(block, output))
        return results(self, *over_time(block, sequences, mask, state, *weights))

    def _in_own_format(self, initial_state):
        """Converts h_0 to the format of h, as a QUANTIZE in the file does."""
        nested = isinstance(initial_state, (list, tuple))
        (state,) = initial_state if nested else (initial_state,)
        source, target = signals.format_of(state, self), self._step.h
        dtype = self.signals.scheme.dtype
        integers = signals.integers_of(state, source)
        exact = integer.dequantize(integer.requantize(integers, source, target, dtype), target)
        state = signals.straight_through(state, exact)
        return [state] if nested else state

    def _calibrate(self, sequences, state, mask):
        kernel, recurrent_kernel = (np.array(w) for w in (self.cell.kernel, self.cell.recurrent_kernel))
        bias = 0.0 if self.cell.bias is None else np.array(self.cell.bias)
        z = np.array(sequences) @ kernel + bias
        mask = np.ones(z.shape[:2], bool) if mask is None else np.array(mask, bool)
        self.signals.widen({"z": z[mask], "h": np.array(state)})
        self.signals.moments.add(self.cell.kernel, np.array(sequences)[mask])

        def step(t, h):
            with np.errstate(over="ignore", invalid="ignore"):  # `widen` refuses what is not finite
                r = h @ recurrent_kernel
                a = z[:, t] + r
            self.signals.moments.add(self.cell.recurrent_kernel, h[mask[:, t]])
            new = np.array(self.cell.activation(ops.convert_to_tensor(a)))
            self.signals.widen({name: v[mask[:, t]] for name, v in (("r", r), ("a", a), ("h", new))})
            return new

        run(step, np.array(state), z.shape[1], mask, self.go_backwards)


def activation_name(function):
    """Returns the name of φ in `quantization.vanilla`, or "table" for other elementwise functions."""
    for name in ("tanh", "sigmoid", *FUSED):
        if function in (getattr(keras.activations, name), getattr(ops, name, None)):
            return name
    return "table"


def check_activation(layer, scheme):
    """Raises unless a layer's activation can be trained and written in a scheme."""
    function = layer.cell.activation
    name = activation_name(function)
    if function not in SLOPES or (name == "table" and scheme == "int16x8"):
        kinds = "tanh, sigmoid, linear, relu, relu6 and hard_tanh"
        raise ValueError(
            f"layer {layer.name!r}: its activation {getattr(function, '__name__', function)!r} has no integer form in "
            f"training with quantization={scheme!r}. Use one of {kinds}, or export the float model with "
            "kv.tflite.export(model, path, calibration_data=x)."
        )
