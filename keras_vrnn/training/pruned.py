"""Keeps pruned weights at zero in training.

The mask is an attribute `pruning_mask` of the variable's constraint, False where a weight is pruned
(`keras_vrnn.compression`, which training does not import).
"""

from keras import ops


def masked(gradient, variable):
    """Returns the gradient with zeros for pruned weights, which do not move and must not count in a norm."""
    mask = _mask_of(variable)
    return gradient if mask is None else ops.where(mask.value, gradient, ops.zeros_like(gradient))


def settle(variables):
    """Sets pruned weights to zero after something other than an update has changed them.

    The optimizer applies constraints after each update, but not when it puts averaged weights into the model.
    """
    for variable in variables:
        mask = _mask_of(variable)
        if mask is not None:
            variable.assign(ops.where(mask.value, variable.value, ops.zeros_like(variable.value)))


def _mask_of(variable):
    return getattr(variable.constraint, "pruning_mask", None)
