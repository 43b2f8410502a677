"""Removes whole units from recurrent layers (TensorFlow)."""

from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn.compression import importance, readers
from keras_vrnn.compression.channels import FIXED
from keras_vrnn.compression.copying import check_built, copy_of
from keras_vrnn.compression.following import GRAPHS, Follower
from keras_vrnn.compression.resizing import resized_model
from keras_vrnn.layers.interception import layers_of
from keras_vrnn.training.pruned import settle

_CRITERIA = ("reconstruction", "taylor")
_BATCH = 32
# float32 rounding of sums in another order over a few hundred steps, relative to the largest output.
_ROUNDING = 1e-3


def prune_units(
    model: keras.Model,
    keep: float | Mapping[str, float] = 0.5,
    *,
    data: Any,
    criterion: Literal["reconstruction", "taylor"] = "reconstruction",
) -> keras.Model:
    """Removes the least important units of the recurrent layers.

    Removing a unit removes its columns of `kernel`, `recurrent_kernel` and `bias`, its row of `recurrent_kernel`, and
    the rows of every later weight that reads it: through Dense, Conv1D, other recurrences and their initial states,
    Bidirectional, TimeDistributed, concatenation, sums, normalization, pooling and nested models. The weights that
    read the remaining units are changed so that these replace the removed units as well as they can (see
    `keras_vrnn.compression.readers`). If the removed units had no effect, the outputs are the same. Train the result
    for some epochs to recover most of what is lost.

    Args:
        model: a built model from `keras.Sequential`, `keras.Model(inputs, outputs)` or their kv counterparts, which
            stays as it is. Its recurrent layers may be SimpleRNN, VanillaRNN, GRU, LSTM and StackedVanillaRNN.
        keep: share of the units that each recurrent layer keeps, in (0, 1]; or a dictionary of such shares by layer
            name, where the other layers keep all units. At least one unit stays.
        data: (x, y) or (x, y, sample_weight) as for `fit`, or x alone; a few hundred samples are enough. All
            batches of a `tf.data.Dataset` are used.
        criterion: which units to remove: the ones that the remaining units can replace best ("reconstruction"), or the
            ones that change the loss least ("taylor", which needs targets and a compiled model). For formulas and
            sources see `keras_vrnn.compression.importance`.

    Returns:
        A smaller, uncompiled model of the same class.

    Raises:
        TypeError, ValueError: an argument is wrong, or the units of a model, layer or connection cannot be removed; the
            message names it.
        RuntimeError: the Keras backend is not TensorFlow.

    Example::

        smaller = kv.compression.prune_units(model, keep=0.5, data=(x, y))
        smaller.compile("adam", "mse")
        smaller.fit(x, y, epochs=5)
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"prune_units needs the TensorFlow backend of Keras, received {backend!r}. Set KERAS_BACKEND=tensorflow."
        )
    check_built(model)
    if type(model) not in GRAPHS:
        raise TypeError(
            "`model` must be keras.Sequential, keras.Model(inputs, outputs) or their kv counterparts, "
            f"whose graph can be rebuilt. Received: {type(model).__name__}. If it is a graph inside, pass "
            "kv.Model(model.inputs, model.outputs)."
        )
    share_of = _checked_keep(model, keep)
    batches = _batches(data, model.inputs[0].shape[0])
    _check_criterion(criterion, batches, model)

    work = copy_of(model)
    channels = Follower(share_of).follow(work)
    _check_removable(channels)
    moments = readers.moments(channels, work, batches)
    if criterion == "taylor":
        scores = importance.taylor(channels, work, batches, model.compute_loss)
    else:
        scores = importance.reconstruction(channels, moments)
    kept = _choose(channels, scores)
    for group in channels.groups:
        selected = channels.selection(group.numbers, kept)
        readers.compensate(channels, group, selected, moments[id(group.layer)])
    settle(work.weights)  # pruned weights stay zero
    smaller = resized_model(work, channels, kept)
    _check_outputs(work, smaller, channels, kept, batches[0][0])
    return smaller


def _checked_keep(model, keep):
    """Returns layer name → share, or None for a layer that loses no units."""
    if not isinstance(keep, Mapping):
        share = _checked_share("keep", keep)
        return lambda name: share
    shares = {name: _checked_share(f"keep[{name!r}]", share) for name, share in keep.items()}
    names = {layer.name for layer in layers_of(model)}
    unknown = [name for name in shares if name not in names]
    if unknown or not shares:
        raise ValueError(
            f"`keep` must name layers of the model. Received: {', '.join(map(repr, unknown)) or 'no names'}. It has "
            f"{', '.join(sorted(map(repr, names)))}."
        )
    return shares.get


def _checked_share(argument, value):
    share = checks.number(argument, value, above=0.0)
    if share > 1.0:
        raise checks.refused(argument, "be in (0, 1], the share of the units that stay", value)
    return share


def _check_criterion(criterion, batches, model):
    checks.one_of("criterion", criterion, _CRITERIA)
    targets = batches[0][1] is not None
    if criterion == "taylor" and not (targets and model.compiled):
        received = "a model that is not compiled" if targets else "data without targets"
        raise ValueError(
            "The criterion 'taylor' needs targets and the loss of a compiled model. Received: "
            f"{received}. Call compile() before and pass data=(x, y), or take criterion='reconstruction'."
        )


def _batches(data, fixed):
    """Returns all of `data` as a list of (x, y, sample_weight), in full batches if the model's batch size is fixed."""
    if hasattr(data, "element_spec"):
        batches = [keras.utils.unpack_x_y_sample_weight(batch) for batch in data]
    else:
        # A list is x with several inputs, as in `fit`.
        parts = keras.utils.unpack_x_y_sample_weight(data if isinstance(data, tuple) else (data,))
        arrays = [np.asarray(leaf) for leaf in keras.tree.flatten(parts) if leaf is not None]
        lengths = {len(array) if array.ndim else 0 for array in arrays}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(
                "`data` must be x or (x, y): arrays of the same number of samples, at least one. Received: shapes "
                f"{', '.join(str(array.shape) for array in arrays) or 'none'}"
            )
        count, size = lengths.pop(), fixed or _BATCH
        batches = [
            keras.tree.map_structure(
                lambda leaf, at=at: None if leaf is None else leaf[at : at + size], parts
            )
            for at in range(0, count - (size - 1 if fixed else 0), size)
        ]
    if not batches:
        full = f" of {fixed} samples, the model's batch size" if fixed else ""
        raise ValueError(
            f"`data` must have at least one batch{full}. Received: {type(data).__name__}, too short."
        )
    return batches


def _check_removable(channels):
    if not channels.groups:
        raise ValueError(
            "`keep` must leave units of some recurrent layer to remove. Received: a model, or names, without any layer "
            "of the classes SimpleRNN, VanillaRNN, GRU, LSTM and StackedVanillaRNN."
        )
    for numbers, reason in channels.obstacles:
        blocked = set(channels.roots(numbers)) - {FIXED}
        for group in channels.groups:
            if group.keep < 1.0 and blocked & set(channels.roots(group.numbers)):
                raise ValueError(
                    f"The units of {type(group.layer).__name__} {group.name!r} cannot be removed: {reason}. Leave the "
                    "layer out: keep={name: share} names the layers that lose units."
                )


def _choose(channels, scores):
    """Returns the numbers that stay: FIXED, and the units with the highest scores in each recurrence."""
    kept, removed = {FIXED}, set()
    for group in channels.groups:
        roots = channels.roots(group.numbers)
        count = max(1, int(group.keep * len(roots) + 0.5))
        # Units joined to an earlier recurrence are decided already.
        open_roots = sorted({*roots} - kept - removed, key=lambda root: -scores[root])
        chosen = open_roots[: max(0, count - len(kept.intersection(roots)))]
        kept.update(chosen)
        removed.update(set(open_roots) - set(chosen))
    return kept


def _check_outputs(work, smaller, channels, kept, x):
    """Compares the smaller model with the large one after zeroing the weights that read removed units."""
    if channels.mixes:  # normalization over fewer units is another function
        return
    for layer in layers_of(work):
        if getattr(layer, "stateful", False) and isinstance(layer, keras.layers.RNN):
            layer.reset_state()
    for axis in channels.axes.values():
        if axis.reads:
            removed = ~channels.selection(axis.numbers, kept)
            value = np.array(keras.ops.convert_to_numpy(axis.variable))
            np.moveaxis(value, axis.axis, 0)[removed] = 0.0
            axis.variable.assign(value)
    pairs = zip(*(keras.tree.flatten(model(x, training=False)) for model in (work, smaller)), strict=True)
    for expected, found in pairs:
        expected, found = (
            keras.ops.convert_to_numpy(value).astype(np.float64) for value in (expected, found)
        )
        error, size = np.max(np.abs(found - expected)), max(1.0, np.max(np.abs(expected)))
        if not error <= _ROUNDING * size and np.isfinite(expected).all():
            raise RuntimeError(
                f"prune_units has made a model whose outputs differ by {error:.3g} from the same units of the large "
                "model. This is a bug of keras_vrnn: please report it with the model's configuration."
            )
