"""Errors for layers without an integer form in training: the layer, the reason and the way out."""

import keras

_EXPORT = "or export the float model with kv.tflite.export(model, path, calibration_data=x)."
_RECURRENT = "the exporter has no integer form of its gates", "replace it by kv.VanillaRNN"
_NORMALIZATION = (
    "its square root has no integer form in training",
    "replace it by BatchNormalization behind Dense, or leave it out",
)
_ATTENTION = (
    "products of two signals have no integer form in training",
    "replace it by kv.VanillaRNN and Dense",
)
_FUNCTION = "its function can be anything", "replace it by layers of Keras"
_KNOWN = {
    keras.layers.ConvLSTM1D: _RECURRENT,
    keras.layers.RNN: (
        "its cells run step by step",
        "replace it by kv.StackedVanillaRNN or one kv.VanillaRNN per cell",
    ),
    keras.layers.LayerNormalization: _NORMALIZATION,
    keras.layers.RMSNormalization: _NORMALIZATION,
    keras.layers.GroupNormalization: _NORMALIZATION,
    keras.layers.UnitNormalization: _NORMALIZATION,
    keras.layers.MultiHeadAttention: _ATTENTION,
    keras.layers.GroupQueryAttention: _ATTENTION,
    keras.layers.Attention: _ATTENTION,
    keras.layers.AdditiveAttention: _ATTENTION,
    keras.layers.Lambda: _FUNCTION,
}


def refused(layer, why, way):
    """Returns the ValueError for a layer.

    Args:
        layer: the layer.
        why: a clause with a verb.
        way: what to do, as an imperative.
    """
    return ValueError(
        f"layer {layer.name!r} ({type(layer).__name__}) has no integer form in training: {why}. "
        f"{way[0].upper()}{way[1:]}, {_EXPORT}"
    )


def refused_activation(layer, names):
    """Returns the ValueError for a layer with another activation than those in `names`."""
    name = getattr(layer.activation, "__name__", layer.activation)
    choice = f"{', '.join(names[:-1])} or {names[-1]}"
    return refused(layer, f"integers cannot compute its activation {name!r}", f"replace it by {choice}")


def unknown(layer, kinds):
    """Returns the ValueError for a layer, or an operation, of a type that is none of `kinds`."""
    kind = type(layer)
    if hasattr(layer, "scheme"):
        return ValueError(
            f"layer {layer.name!r} ({kind.__name__}) is quantization-aware already. Pass the float model to "
            "kv.compression.quantize_aware."
        )
    if not isinstance(layer, keras.layers.Layer):
        return ValueError(
            f"operation {layer.name!r} (keras.ops.{kind.__name__.lower()}) has no integer form in training: it is "
            f"not a layer. Replace it by a layer, such as keras.layers.Add()([x, y]) for x + y, {_EXPORT}"
        )
    if kind in _KNOWN:
        return refused(layer, *_KNOWN[kind])
    for base in kinds:
        if isinstance(layer, base):
            why = f"it is a {base.__name__} whose `call` may compute something else"
            return refused(layer, why, f"replace it by {base.__name__} itself")
    names = ", ".join(sorted({base.__name__ for base in kinds}))
    return refused(layer, "there is none for its type", f"replace it by layers among {names}")
