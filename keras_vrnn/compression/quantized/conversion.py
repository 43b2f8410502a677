"""Makes a quantization-aware model out of a Keras model: the same graph, with quantized layers.

Batch normalization and activations behind a linear layer become part of it; see `folding`.
"""

from collections import Counter

import keras

from keras_vrnn.compression.quantized.folding import folded
from keras_vrnn.compression.quantized.forms import copy_weights, quantized
from keras_vrnn.compression.quantized.inputs import INPUT_SUFFIX, QuantizedInput


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
        self._tokens = set()  # ids of tensors that an Embedding reads
        self._kept = []  # all clones, so that ids stay unique
        self._token_inputs = {}  # id of a converted model -> for each input, whether an Embedding reads it
        self._uses = Counter()  # id of a layer -> in how many models it is
        self._folded, self._absorbed = {}, set()  # see `folded`

    def count(self, model):
        """Counts in how many models each layer is."""
        for layer in model.layers:
            self._uses[id(layer)] += 1
            if isinstance(layer, keras.Model) and self._uses[id(layer)] == 1:
                self.count(layer)

    def of(self, model, is_outermost=False):
        if not getattr(model, "inputs", None):
            raise ValueError(
                f"`model` must be a functional or Sequential Keras model. Received: a {type(model).__name__} "
                f"{model.name!r} without inputs. Start a Sequential model with keras.Input, or write the layers as a "
                "functional model."
            )
        sequential = isinstance(model, keras.Sequential)
        graph = keras.Model(
            *((model.inputs[0], model.outputs[0]) if sequential else (model.input, model.output))
        )
        types = [t.dtype for t in keras.tree.flatten(graph.input)]
        folds, absorbed = folded(graph, {key for key, count in self._uses.items() if count > 1})
        self._folded |= folds
        self._absorbed |= absorbed
        before = dict(self._made)
        made = self._cloned(graph, types, is_outermost)
        are_tokens = [id(t) in self._tokens for t in keras.tree.flatten(made.input)]
        typed = [
            "int32" if is_token and "float" in dtype else dtype
            for is_token, dtype in zip(are_tokens, types, strict=True)
        ]
        if typed != types:  # only the first clone shows which inputs an Embedding reads
            self._made = before
            made = self._cloned(graph, typed, is_outermost)
        made = keras.Model(made.input, made.output, name=model.name)
        self._token_inputs[id(made)] = are_tokens
        return made

    def _cloned(self, graph, types, is_outermost):
        inputs = [
            keras.Input(batch_shape=t.shape, dtype=dtype, name=t.name)
            for t, dtype in zip(keras.tree.flatten(graph.input), types, strict=True)
        ]
        raw = {id(t) for t in inputs} if is_outermost else set()
        made = keras.models.clone_model(
            graph,
            input_tensors=keras.tree.pack_sequence_as(graph.input, inputs),
            clone_function=self._layer,
            call_function=lambda layer, *args, **kwargs: self._call(layer, raw, args, kwargs),
        )
        self._kept.append(made)
        return made

    def _call(self, layer, raw, args, kwargs):
        """Calls a layer on the integers of the model's inputs; token ids stay what they are."""
        if layer is None:  # the layer before it computes it
            return args[0]
        if isinstance(layer, keras.layers.Dense):
            kwargs.pop("mask", None)  # of the TimeDistributed that it was made of
        flat = keras.tree.flatten((args, kwargs))
        if type(layer).__name__ in ("LogicalAnd", "LogicalOr") and flat[0] is flat[-1]:
            return flat[0]  # a layer with two inputs of one mask; an integer file may lack the operator
        self._check_masks(layer, flat)
        tokens = self._token_inputs.get(id(layer), [isinstance(layer, keras.layers.Embedding)])
        reads = [*tokens, *[False] * len(flat)][: len(flat)]
        self._tokens |= {id(x) for x, is_token in zip(flat, reads, strict=True) if is_token}
        flat = [x if is_token else self._rounded(x, raw) for x, is_token in zip(flat, reads, strict=True)]
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
        return layer(*args, **kwargs)

    def _check_masks(self, layer, inputs):
        """Refuses an operation on several masks where the file has no operator for it."""
        masks = [x for x in inputs if getattr(x, "dtype", None) == "bool"]
        if self._scheme == "int16x8" and len(masks) > 1 and not isinstance(layer, keras.layers.Layer):
            raise ValueError(
                "`model` must not combine masks with quantization='int16x8', since TFLite does that with int8 only. "
                f"Received: the operation {layer.name!r}, which layers like Concatenate and Add use on masks. Mask "
                "behind that layer, or use quantization='int8'."
            )

    def _rounded(self, x, raw):
        if id(x) not in raw or "float" not in x.dtype:
            return x
        if id(x) not in self._inputs:
            self._inputs[id(x)] = QuantizedInput(scheme=self._scheme, name=x.name + INPUT_SUFFIX)(x)
        return self._inputs[id(x)]

    def _layer(self, layer):
        if id(layer) in self._absorbed:
            return None
        outputs = keras.tree.flatten(layer.output)
        if not isinstance(layer, keras.layers.Layer) and all(t.dtype == "bool" for t in outputs):
            return layer  # it makes a mask
        # A TimeDistributed becomes the layer in it, which may be shared.
        key = id(layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer)
        if key not in self._made:
            if isinstance(layer, keras.Model):
                self._made[key] = layer, self.of(layer)
            else:
                old = self._folded.get(key, layer)
                self._made[key] = old, quantized(old, self._scheme)
        return self._made[key][1]

    def copy_weights(self):
        """Gives the quantized layers the weights of the layers that they were made of."""
        for old, new in self._made.values():
            if not isinstance(old, keras.Model):
                copy_weights(old, new)
