"""Makes a quantization-aware model out of a Keras model: the same graph, with quantized layers.

Batch normalization and activations behind a linear layer become part of it; see `folding`.
"""

from collections import Counter

import keras

from keras_vrnn.compression.quantized.folding import folded
from keras_vrnn.compression.quantized.forms import copy_weights, quantized
from keras_vrnn.compression.quantized.inputs import QuantizedInput


def converted(model, scheme):
    """Returns a model with the structure, names and weights of `model` whose layers compute integers.

    Args:
        model: a built functional or Sequential model.
        scheme: a key of `SCHEMES`.

    Raises:
        ValueError: a layer has no quantized form; the message names it.
    """
    conversion = _Conversion(scheme)
    conversion.count(model)
    made = conversion.of(model, is_outermost=True)
    conversion.copy_weights()
    return made


class _Conversion:
    """One conversion: shared layers and models stay shared."""

    def __init__(self, scheme):
        self._scheme = scheme
        self._made = {}  # id of a layer -> the layer and its quantized form
        self._inputs = {}  # id of an input tensor -> its rounded form
        self._uses = Counter()  # id of a layer -> in how many models it is
        self._folded, self._absorbed = {}, set()  # see `folded`

    def count(self, model):
        """Counts in how many models each layer is."""
        for layer in model.layers:
            self._uses[id(layer)] += 1
            if isinstance(layer, keras.Model) and self._uses[id(layer)] == 1:
                self.count(layer)

    def of(self, model, is_outermost=False):
        sequential = isinstance(model, keras.Sequential)
        graph = keras.Model(
            *((model.inputs[0], model.outputs[0]) if sequential else (model.input, model.output))
        )
        made, absorbed = folded(graph, {key for key, count in self._uses.items() if count > 1})
        self._folded |= made
        self._absorbed |= absorbed
        inputs = keras.tree.map_structure(
            lambda t: keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name), graph.input
        )
        raw = {id(t): t for t in keras.tree.flatten(inputs)} if is_outermost else {}
        made = keras.models.clone_model(
            graph,
            input_tensors=inputs,
            clone_function=self._layer,
            call_function=lambda layer, *args, **kwargs: self._call(layer, args, kwargs, raw),
        )
        return keras.Model(made.input, made.output, name=model.name)

    def _call(self, layer, args, kwargs, raw):
        if layer is None:  # the layer before it computes it
            return args[0]
        return layer(
            *keras.tree.map_structure(lambda x: self._rounded(x, raw), args),
            **keras.tree.map_structure(lambda x: self._rounded(x, raw), kwargs),
        )

    def _rounded(self, x, raw):
        if id(x) not in raw or "float" not in x.dtype:
            return x
        if id(x) not in self._inputs:
            self._inputs[id(x)] = QuantizedInput(self._scheme, name=f"{x.name}_integers")(x)
        return self._inputs[id(x)]

    def _layer(self, layer):
        if id(layer) in self._absorbed:
            return None
        if id(layer) not in self._made:
            if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
                self._made[id(layer)] = layer, self.of(layer)
            else:
                old = self._folded.get(id(layer), layer)
                self._made[id(layer)] = old, quantized(old, self._scheme)
        return self._made[id(layer)][1]

    def copy_weights(self):
        """Gives the quantized layers the weights of the layers that they were made of."""
        for old, new in self._made.values():
            if not isinstance(old, keras.Model):
                copy_weights(old, new)
