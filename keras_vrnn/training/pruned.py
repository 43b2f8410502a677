"""Pruned weights in training: they have no gradient, and stay zero.

The mask is an attribute `pruning_mask` of the variable's constraint, False where a weight is pruned
(`keras_vrnn.compression`, which training does not import).
"""

from keras import ops


def masked(gradient, variable):
    """Returns the gradient with zeros for pruned weights: they do not move, so a norm must not count them."""
    mask = _mask_of(variable)
    return gradient if mask is None else ops.where(mask.value, gradient, ops.zeros_like(gradient))


def settle(variables):
    """Sets pruned weights to zero, where something else than an update has changed them.

    The optimizer applies constraints after each update, but not when it puts averaged weights into the model.
    """
    for variable in variables:
        mask = _mask_of(variable)
        if mask is not None:
            variable.assign(ops.where(mask.value, variable.value, ops.zeros_like(variable.value)))


def _mask_of(variable):
    return getattr(variable.constraint, "pruning_mask", None)
