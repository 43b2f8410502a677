"""Takes the number formats from a quantization-aware model; the export of other models measures them on data.

Needs the TensorFlow backend.
"""

from collections import defaultdict

import numpy as np

from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.inputs import INPUT_SUFFIX, QuantizedInput
from keras_vrnn.layers.interception import layers_of
from keras_vrnn.quantization.schemes import SCHEMES, Stored
from keras_vrnn.tflite.exporting import stated_ranges
from keras_vrnn.tflite.exporting.recurrences.base import Formats

_BY_RULE = {"bias", "factor", "offset"}  # constants whose formats follow from others and from their own range


def scheme_of(model):
    """Returns the scheme of a quantization-aware model, a key of `SCHEMES`, or None for another model.

    Raises:
        ValueError: Its layers have several.
    """
    schemes = sorted({layer.scheme for layer in layers_of(model) if hasattr(layer, "signals")})
    if len(schemes) > 1:
        raise ValueError(
            "`model` must have layers of one quantization. Received: a model with layers for "
            f"{' and '.join(schemes)}. Make it by one call of kv.compression.quantize_aware."
        )
    return schemes[0] if schemes else None


def input_ranges(model):
    """Returns name of a float input -> the (low, high) that a quantization-aware model has seen in training."""
    ranges = {}
    for layer in layers_of(model):
        if isinstance(layer, QuantizedInput):
            low, high = layer.signals.range("x")
            ranges[layer.name.removesuffix(INPUT_SUFFIX)] = float(low), float(high)
    return ranges


class Trained:
    """What the layers of a quantization-aware model computed with in one run, for the graph of the stock part.

    Args:
        scheme: A key of `SCHEMES`.
        notes: The `Note`s of the run, in the order of the calls.
    """

    def __init__(self, scheme, notes):
        self._scheme = scheme
        self._notes = notes
        # The stock quantizers know no 4-bit weights; these are 8-bit weights that get packed afterwards.
        self.quantizer = "int8" if scheme == "int8x4" else scheme

    def mark(self, tensor, quantization):
        """Returns a tensor of a trace that the file holds in a format."""
        return stated_ranges.mark(tensor, quantization, self.quantizer)

    def plain_calls(self):
        """Returns layer -> a `call` for a trace, which computes in float and marks formats."""
        by_layer = defaultdict(list)
        for note in self._notes:
            by_layer[note.layer].append(note)
        return {layer: _plain_call(layer, iter(notes), self.mark) for layer, notes in by_layer.items()}

    def weights(self):
        """Returns the weights of the stock part with their scales."""
        return [
            stated_ranges.Weights(f"{note.layer.name}/{name}", real, scale)
            for note in self._notes
            for name, (real, scale) in note.constants.items()
            if name not in _BY_RULE
        ]

    def formats_of(self, recurrences):
        """Returns recurrence name -> `Formats`."""
        steps = [note.step for note in self._notes if note.step is not None]
        return {r.name: self._formats(step) for r, step in zip(recurrences, steps, strict=True)}

    def state_formats(self, index):
        """Returns state -> its format in the call of a recurrence with this number."""
        steps = [note.step for note in self._notes if note.step is not None]
        step = steps[index]
        return {state: signals.plain(step.formats[state]) for state in step.states}

    def value_formats(self, parts):
        """Returns name of a float input or of a recurrence's result -> the `Quantization` that holds it."""
        by_name = {note.layer.name: note.formats["x"] for note in self._notes if "x" in note.formats}
        formats = {
            name: by_name[name + INPUT_SUFFIX] for name in parts.inputs if name + INPUT_SUFFIX in by_name
        }
        for index, recurrence in enumerate(parts.recurrences):
            states = self.state_formats(index)
            formats |= {name: states[state] for name, state in recurrence.results.items()}
        return formats

    def _formats(self, step):
        scheme = SCHEMES[self._scheme]

        def stored(constant, dtype):
            if constant is None:
                return None
            array = np.asarray(constant.array).astype(dtype)
            return Stored(array, signals.plain(constant.quantization), constant.int4)

        return Formats(
            scheme,
            {name: signals.plain(form) for name, form in step.formats.items()},
            products={
                name: (stored(weights, np.int8), stored(bias, scheme.bias_dtype))
                for name, (weights, bias) in step.products.items()
            },
            kept={name: (signals.plain(form), dtype) for name, (form, dtype) in step.kept.items()},
            constants={name: tuple(map(int, factors)) for name, factors in step.constants.items()},
        )


def _plain_call(layer, notes, mark):
    return lambda inputs, *args, **kwargs: layer.plain(inputs, next(notes), mark, *args, **kwargs)
