"""GRU, LSTM and FastRNN that compute the integers of their exported file."""

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression.quantized import signals
from keras_vrnn.layers import FastRNN
from keras_vrnn.layers.stepping import run
from keras_vrnn.quantization.cells.cell import GatedCell
from keras_vrnn.quantization.cells.fast import Fast
from keras_vrnn.quantization.cells.formatting import Formatting
from keras_vrnn.quantization.cells.gru import GRU
from keras_vrnn.quantization.cells.lstm import LSTM
from keras_vrnn.quantization.cells.measured import Measured


class Activation:
    """A Keras activation function as the cells in `quantization.cells` take it.

    Attributes:
        name: "tanh" and so on; "table" for a function that is a table in the file.
        is_fused: whether the addition before it computes it.
    """

    NAMES = ("tanh", "sigmoid", "hard_sigmoid", "linear", "relu", "relu6", "hard_tanh")

    def __init__(self, function):
        self._function = function
        functions = ((name, getattr(keras.activations, name)) for name in self.NAMES)
        self.name = next((name for name, other in functions if function is other), "table")
        self.is_fused = self.NAMES.index(self.name) > 2 if self.name != "table" else False

    def __call__(self, x):
        if isinstance(x, np.ndarray):
            return np.array(self._function(ops.convert_to_tensor(x, "float32")))
        return self._function(x)


class QuantizedGated(signals.Quantized):
    """What the quantized gated layers share; a mixin of a Keras layer.

    The gradients are those of the float layer at the numbers that the integers stand for (straight-through).
    """

    kind: ClassVar[type[GatedCell]]
    _step: Any = None
    _sources: Any = None

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape)
        form = self._form()
        names = dict.fromkeys((*form.operands, *form.signals))
        self.signals = signals.LoopSignals(self, tuple(name for name in names if name != "x"), self.scheme)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if signals.is_calibrating():
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        self._step = step = self.step(signals.format_of(sequences, self))
        signals.note(self, step.formats, step=step)
        self._sources = (None,) * len(step.states)
        if initial_state is not None:
            self._sources = tuple(signals.format_of(each, self) for each in keras.tree.flatten(initial_state))
        try:
            made = super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        finally:
            self._step = self._sources = None
        output, *states = made if self.return_state else [made]
        signals.carrying(output, step.formats["h"])
        if not self.return_state:
            return output
        kept = zip(step.states, states, strict=True)
        return [output, *(step.as_signal(name, state) for name, state in kept)]

    def plain(self, sequences, note, mark_format, initial_state=None, mask=None, **_):
        """Returns what the Keras layer does, for a trace in which the recurrence is replaced."""
        return super().call(sequences, initial_state=initial_state, mask=mask)

    def step(self, x):
        """Returns the `GatedStep` of the layer for inputs in the format `x`."""
        from keras_vrnn.compression.quantized.gated_step import GatedStep

        cell = self._form()
        ranges = {name: self.signals.range(name) for name in self.signals.names}
        on = Formatting(self.signals.scheme, ranges, cell.products, cell.bounded_by, x)
        cell.formats(on)
        return GatedStep(cell, self.signals.scheme, on.signals, on.kept)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if signals.is_calibrating():
            self._calibrate(sequences, initial_state, mask)
            return super().inner_loop(sequences, initial_state, mask, training)
        step, cell = self._step, self.cell
        masks = {}
        if training and cell.dropout > 0:
            masks["x"] = _one(cell.get_dropout_mask(sequences[:, 0]))
        if training and cell.recurrent_dropout > 0:
            masks["h"] = _one(cell.get_recurrent_dropout_mask(initial_state[0]))
        starts = zip(step.states, initial_state, self._sources, strict=True)
        start = [step.start(name, state, source) for name, state, source in starts]
        counts = None if mask is None else ops.expand_dims(ops.swapaxes(mask, 0, 1), -1)
        loop = {"reverse": self.go_backwards, "unroll": self.unroll}
        states, measured = step.run(ops.swapaxes(sequences, 0, 1), start, counts, masks, loop)
        if training:
            self.signals.observe(measured, counts)
        last = 0 if self.go_backwards else -1
        outputs = ops.swapaxes(step.as_signal("h", states[0]), 0, 1)
        last_output = outputs[:, last]
        if mask is not None and self.zero_output_for_mask:
            outputs = ops.where(ops.expand_dims(mask, -1), outputs, 0.0)
        outputs = ops.flip(outputs, axis=1) if self.go_backwards else outputs
        return last_output, outputs, [state[last] for state in states]

    def _form(self):
        """Returns the `GatedCell` of the layer, with tensors."""
        cell = self.cell
        kernel, recurrent_kernel = (
            ops.convert_to_tensor(w) + 0.0 for w in (cell.kernel, cell.recurrent_kernel)
        )
        bias = ops.zeros(kernel.shape[1]) if cell.bias is None else ops.convert_to_tensor(cell.bias) + 0.0
        return self.kind.of(cell, (kernel, recurrent_kernel, bias, *self._factors()), Activation)

    def _factors(self):
        return ()

    def _calibrate(self, sequences, initial_state, mask):
        cell = self.kind.of(self.cell, tuple(map(np.array, self._weights_of())), Activation)
        on = Measured(cell.products)
        x = np.array(sequences)
        mask = np.ones(x.shape[:2], bool) if mask is None else np.array(mask, bool)
        z = [on.product(name, x) for name in cell.projections]
        start = tuple(np.array(state) for state in initial_state)
        widen = self.signals.widen
        widen(dict(zip(cell.states, start, strict=True)))
        widen({name: values[mask] for name, values in on.signals.items()})

        def step(t, states):
            on = Measured(cell.products)
            with np.errstate(over="ignore", invalid="ignore"):  # `widen` refuses what is not finite
                made = cell.equations(on, tuple(each[:, t] for each in z), states)
            kept = mask[:, t]
            widen({name: values[kept] for name, values in (on.operands | on.signals).items()})
            widen({name: values[kept] for name, values in zip(cell.states, made, strict=True)})
            return made

        run(step, start, x.shape[1], mask, self.go_backwards)

    def _weights_of(self):
        form = self.cell
        bias = ops.zeros(form.kernel.shape[1]) if form.bias is None else form.bias
        return form.kernel, form.recurrent_kernel, bias, *self._factors()


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedGRU(QuantizedGated, keras.layers.GRU):
    """A `keras.layers.GRU` that computes, in training and inference, the integers of its exported file.

    Made by `kv.compression.quantize_aware`.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for `keras.layers.GRU`.
    """

    kind = GRU


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedLSTM(QuantizedGated, keras.layers.LSTM):
    """A `keras.layers.LSTM` that computes, in training and inference, the integers of its exported file.

    Made by `kv.compression.quantize_aware`.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for `keras.layers.LSTM`.
    """

    kind = LSTM


@keras.saving.register_keras_serializable(package="keras_vrnn")
class QuantizedFastRNN(QuantizedGated, FastRNN):
    """A `FastRNN` that computes, in training and inference, the integers of its exported file.

    Made by `kv.compression.quantize_aware`.

    Args:
        scheme: a key of `quantization.schemes.SCHEMES`.
        *args, **kwargs: as for `FastRNN`.
    """

    kind = Fast

    def _factors(self):
        return self.cell.rates()


def _one(masks):
    """Returns one dropout mask for all gates, as Keras uses with implementation=2; it may have made one for each."""
    return masks[0] if isinstance(masks, (list, tuple)) else masks


def check_activations(layer, scheme):
    """Raises unless the activations of a gated layer can be written in a scheme."""
    functions = layer.cell.activation, getattr(layer.cell, "recurrent_activation", None)
    for function in functions if scheme == "int16x8" else ():
        if function is not None and Activation(function).name == "table":
            raise ValueError(
                f"layer {layer.name!r}: its activation {getattr(function, '__name__', function)!r} has no integer form "
                f"in training with quantization={scheme!r}. Use one of {', '.join(Activation.NAMES)}, or "
                "quantization='int8', which holds it as a table."
            )
