"""Magnitude pruning of kernels while a model trains (TensorFlow)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn.compression import schedules
from keras_vrnn.compression.copying import check_built, copy_of
from keras_vrnn.compression.masks import PruningMask
from keras_vrnn.layers.call_checks import named
from keras_vrnn.layers.interception import layers_of

_WEIGHTS = ("kernel", "recurrent_kernel")


@dataclass(frozen=True)
class _Kernel:
    """A weight matrix, given by the layer or cell that owns it and the name of its attribute."""

    owner: Any
    name: str

    @property
    def variable(self):
        return getattr(self.owner, self.name)

    def __str__(self):
        return f"`{self.name}` of {named(self.owner)}"


def prune(
    model: keras.Model,
    schedule: Callable[[Any], tuple[Any, Any]],
    *,
    layers: Sequence[str] | None = None,
    weights: Sequence[str] = _WEIGHTS,
) -> keras.Model:
    """Prepares a model so that training sets its smallest weights to zero and keeps them there.

    Each kernel gets a mask of its own (see `PruningMask`), which the optimizer applies after every update, in `fit` and
    in any other training loop that uses a Keras optimizer. Pruned weights stay exactly zero with momentum, weight
    decay, clipping, several steps per execution and XLA, after saving and loading, and in an exported file.
    `kv.compression.PruningCallback` logs the sparsity.

    Args:
        model: a built Keras model, which stays as it is.
        schedule: `kv.compression.PolynomialDecay(...)`, `kv.compression.ConstantSparsity(...)`, or any callable with
            schedule(step) → (should_prune, sparsity): whether to prune after update number `step`, counted from 0, and
            the share of each kernel's weights that is zero from then on. After saving and loading, TFMOT's schedules
            and schedules registered by `keras.saving.register_keras_serializable` go on; with any other schedule, the
            loaded model keeps its masks and prunes no further.
        layers: names of the layers to prune, which may be wrappers and nested models; None for all.
        weights: which weights of these layers to prune, by attribute, such as "embeddings". Weights of a layer with
            `trainable=False` are pruned once the layer is trained.

    Returns:
        An uncompiled model of the same class with the same weights. A model that is pruned already keeps its masks, and
        the new schedule starts at step 0.

    Raises:
        TypeError, ValueError: an argument is wrong, or the configuration of a layer cannot hold the masks; the message
            names it.
        RuntimeError: the Keras backend is not TensorFlow.

    Example::

        schedule = kv.compression.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=1000, frequency=50)
        pruned = kv.compression.prune(model, schedule)
        pruned.compile("adam", "mse")
        pruned.fit(x, y, epochs=20, callbacks=[kv.compression.PruningCallback()])
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"Pruning needs the TensorFlow backend of Keras, received {backend!r}. Set KERAS_BACKEND=tensorflow."
        )
    check_built(model)
    schedules.check(schedule)
    names = _checked_names("weights", weights)
    chosen = None if layers is None else _checked_names("layers", layers)
    _kernels(model, names, chosen)  # refused before the model is copied
    with model.distribute_strategy.scope():
        pruned = copy_of(model)
        kernels = _kernels(pruned, names, chosen)
        for kernel in kernels:
            _install(kernel, schedule)
        _check_configuration(pruned, kernels)
    return pruned


def strip_pruning(model: keras.Model) -> keras.Model:
    """Copies a pruned model without its masks.

    The zeros stay, but further training may change them. If all layers are from Keras, a `.keras` file of the copy
    loads without keras_vrnn.

    Args:
        model: a model that `prune` returned, or one that was loaded.

    Returns:
        An uncompiled model of the same class with the same weights.

    Raises:
        ValueError: the model is not pruned.
    """
    masks_of(model)
    with model.distribute_strategy.scope():
        stripped = copy_of(model)
    for layer in layers_of(stripped):
        for attribute in [name for name in dir(layer) if name.endswith("_constraint")]:
            mask = getattr(layer, attribute)
            if isinstance(mask, PruningMask) and attribute in vars(layer):
                setattr(layer, attribute, mask.constraint)
    for variable in stripped.trainable_variables + stripped.non_trainable_variables:
        if isinstance(variable.constraint, PruningMask):
            variable.constraint = variable.constraint.constraint
    return stripped


def masks_of(model: keras.Model) -> dict[str, PruningMask]:
    """Returns the mask of each pruned kernel, by the path of its variable.

    Raises:
        ValueError: the model is not pruned.
    """
    masks = {w.path: w.constraint for w in model.weights if isinstance(w.constraint, PruningMask)}
    if not masks:
        raise ValueError(
            f'{type(model).__name__} "{model.name}" is not pruned: it has no masks. Train the model '
            "that kv.compression.prune(model, schedule=...) returns."
        )
    return masks


def sparsities(model: keras.Model) -> Mapping[str, float]:
    """Returns the share of weights that are exactly zero, by the path of each pruned kernel."""
    pruned = masks_of(model)
    values = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights if w.path in pruned}
    return {path: float(np.mean(value == 0.0)) for path, value in values.items()}


def _checked_names(argument, names):
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise checks.refused(argument, "be a list of names, not empty", names)
    return list(dict.fromkeys(names))


def _kernels(model, names, layers):
    """Returns the weights to prune, each once; raises if one of them cannot be pruned."""
    owners = layers_of(model)
    if layers is not None:
        by_name = {}
        for layer in owners:
            by_name.setdefault(layer.name, []).append(layer)
        unknown = [name for name in layers if name not in by_name]
        if unknown:
            raise ValueError(
                f"`layers` must name layers of the model. Received: {', '.join(map(repr, unknown))}. It has "
                f"{', '.join(map(repr, by_name))}."
            )
        owners = [part for name in layers for layer in by_name[name] for part in _parts(layer)]
    found = {}
    for owner in owners:
        for name in names:
            if getattr(owner, name, None) is not None and not isinstance(owner, keras.layers.RNN):
                kernel = _Kernel(owner, name)
                _check_prunable(kernel)
                found.setdefault(id(kernel.variable), kernel)
    if not found:
        where = "the model" if layers is None else f"the layers {', '.join(map(repr, layers))}"
        raise ValueError(
            f"`weights` must name weights of {where}. Received: {', '.join(map(repr, names))}, which are not there."
        )
    return list(found.values())


def _parts(layer):
    return layer._flatten_layers(include_self=True)


def _check_prunable(kernel):
    variable = kernel.variable
    if not isinstance(variable, keras.Variable) or not keras.backend.is_float_dtype(variable.dtype):
        raise ValueError(
            f"{kernel} cannot be pruned: it is not a variable of floating-point numbers, as after "
            "quantize() or enable_lora(). Prune the model before that, or leave the layer out by `layers`."
        )


def _install(kernel, schedule):
    variable = kernel.variable
    # Keras' names: `kernel_constraint` of `kernel`, but `recurrent_constraint` of `recurrent_kernel`.
    attribute = f"{kernel.name.removesuffix('_kernel')}_constraint"
    before = variable.constraint
    if isinstance(before, PruningMask):
        mask = PruningMask(schedule, keras.ops.convert_to_numpy(before.pruning_mask), before.constraint)
    else:
        mask = PruningMask(schedule, np.ones(variable.shape, bool), before)
    variable.constraint = mask
    if hasattr(kernel.owner, attribute):
        setattr(kernel.owner, attribute, mask)


def _check_configuration(model, kernels):
    """Raises unless a copy of the model by its configuration has the same masks.

    Some layers make their parts from one set of options, such as `MultiHeadAttention`, and would save one mask for all
    parts. The stacks and models of this package save them by part (`keras_vrnn.layers.part_constraints`).
    """
    masks = [kernel.variable.constraint for kernel in kernels]
    # A different number in each mask shows whether it reaches its own kernel.
    for number, mask in enumerate(masks):
        mask.step.assign(number)
    try:
        twin = copy_of(model)
        places = {id(variable): index for index, variable in enumerate(model.weights)}
        for number, kernel in enumerate(kernels):
            copied = twin.weights[places[id(kernel.variable)]].constraint
            if not isinstance(copied, PruningMask) or keras.ops.convert_to_numpy(copied.step) != number:
                raise ValueError(
                    f"{kernel} cannot be pruned: the configuration of the layer around it does not carry its "
                    f"constraint, so a saved model would lose the mask. Leave that layer out by `layers`, or build "
                    "it from layers that have a configuration each."
                )
    finally:
        for mask in masks:
            mask.step.assign(0)
