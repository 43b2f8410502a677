"""Constraints that single parts of a layer have, in the configuration of the layer.

A stack or an encoder-decoder makes all of its parts from one set of options, with one `kernel_constraint` for all.
After `kv.compression.prune` each kernel has a pruning mask of its own. The configuration keeps these beside the
options, so that copies and `.keras` files have them:

    "part_constraints": {"layer_0/vanilla_rnn_cell/kernel_constraint": {…}, …}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import keras

from keras_vrnn import _keras_private

_KEY = "part_constraints"
_ENDING = "_constraint"
# The attribute by which a pruning mask is recognized; see `keras_vrnn.training.pruned`.
_MASK = "pruning_mask"

Owner = TypeVar("Owner", bound=keras.layers.Layer)


def to_config(owner: keras.layers.Layer) -> dict[str, Any]:
    """Returns the entry for the configuration of `owner`; an empty dictionary if no part is pruned."""
    found = {
        f"{path}/{name}": keras.constraints.serialize(getattr(part, name))
        for path, part in _parts(owner)
        for name in vars(part)
        if name.endswith(_ENDING) and hasattr(getattr(part, name), _MASK)
    }
    return {_KEY: found} if found else {}


def from_config(cls: type[Owner], config: dict[str, Any]) -> Owner:
    """Makes a layer of a class from its configuration, and gives its parts the constraints saved there."""
    options = dict(config)
    saved = options.pop(_KEY, {})
    owner = cls(**options)
    parts = dict(_parts(owner))
    for key, constraint in saved.items():
        path, _, name = key.rpartition("/")
        set_constraint(parts[path], name, keras.constraints.deserialize(constraint))
    return owner


def set_constraint(layer: keras.layers.Layer, name: str, constraint: Any) -> None:
    """Sets a constraint such as `kernel_constraint`, of the variable too if the layer is built."""
    setattr(layer, name, constraint)
    if layer.built:
        # Keras' names: `kernel_constraint` of `kernel`, but `recurrent_constraint` of `recurrent_kernel`.
        weight = "recurrent_kernel" if name == "recurrent_constraint" else name.removesuffix(_ENDING)
        getattr(layer, weight).constraint = constraint


def _parts(owner: keras.layers.Layer, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers inside `owner` at any depth, by their path of names."""
    for part in _keras_private.children(owner):
        path = f"{prefix}{part.name}"
        yield path, part
        yield from _parts(part, f"{path}/")
