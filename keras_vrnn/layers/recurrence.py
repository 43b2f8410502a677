"""The recurrence over a whole sequence, and the choice of how its gradients are taken."""

import inspect

import keras
from keras import ops

from keras_vrnn.layers import native_path
from keras_vrnn.layers.block import SLOPES, Block, forward_loop, given
from keras_vrnn.layers.blocks import over_time
from keras_vrnn.layers.cell import VanillaRNNCell
from keras_vrnn.layers.fast_cell import FastRNNCell
from keras_vrnn.layers.mixtures import Leak, Replacement
from keras_vrnn.layers.scan import scan

# The maths of a step -> how it makes h_t.
_MIXTURES = {VanillaRNNCell.call: Replacement, FastRNNCell.call: Leak}


def gradient_rule(cell):
    """How the gradients of the recurrence of `cell` are taken; decided here and nowhere else.

    "hand-written": The derivatives of `Block`, from h alone.
    "autodiff": The same forward pass, differentiated by the backend. For an activation that has no slope in
        `SLOPES`, and for PyTorch, where the forward pass of a custom gradient leaves no graph for second derivatives.
    "cell": `cell.call` step by step, for a subclass that changes the maths of the step.
    """
    if type(cell).call not in _MIXTURES:
        return "cell"
    if cell.activation in SLOPES and keras.backend.backend() in ("tensorflow", "jax"):
        return "hand-written"
    return "autodiff"


def native_refusal(cell):
    """Why the native kernel does not serve the recurrence of `cell`, or "" if it does where its program may hold it."""
    return native_path.refusal(cell.activation, _MIXTURES.get(type(cell).call), cell.compute_dtype)


def recur(layer, sequences, state, mask, training):
    """h_t of all steps; arguments and results as in `VanillaRNN.inner_loop`."""
    cell = layer.cell
    sequences = ops.cast(sequences, cell.compute_dtype)
    if mask is not None:
        mask = ops.expand_dims(mask, -1)
    loop = {"reverse": layer.go_backwards, "unroll": layer.unroll}
    rule = gradient_rule(cell)
    if rule == "cell":
        last, hidden = _over_cell(cell, sequences, state, mask, training, loop)
        return results(layer, last, _batch_major(hidden))
    recurrent_mask = None
    if training and cell.dropout > 0:
        sequences = sequences * ops.expand_dims(cell.get_dropout_mask(sequences[:, 0]), 1)
    if training and cell.recurrent_dropout > 0:
        recurrent_mask = cell.get_recurrent_dropout_mask(state)
    kernel, recurrent_kernel, *bias = (
        ops.cast(weight, cell.compute_dtype)
        for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
        if weight is not None
    )
    rates = [ops.cast(rate, cell.compute_dtype) for rate in cell.rates()]
    mixture = _MIXTURES[type(cell).call]
    if rule == "hand-written":
        block = Block(cell.activation, recurrent_mask, layer.return_sequences, **loop, mixture=mixture)
        weights = recurrent_kernel, kernel, *rates, *bias
        if native_path.serves(block, sequences, training):
            found = native_path.over_time(block, sequences, mask, state, *weights, training=training)
        else:
            found = over_time(block, sequences, mask, state, *weights)
        return results(layer, *found)
    z = ops.matmul(sequences, kernel)
    z = z + bias[0] if bias else z  # one gradient of b instead of one per step
    run = forward_loop(cell.activation, recurrent_mask, {**loop, "autodiff": True}, mixture(*rates))
    last, hidden = run(z, state, recurrent_kernel, mask)
    return results(layer, last, _batch_major(hidden))


def _batch_major(hidden):
    return ops.transpose(hidden, (1, 0, 2))


def results(layer, last, outputs):
    """What `inner_loop` returns for h_T and for h of all steps, batch-major in time order."""
    if not layer.return_sequences:
        return last, ops.expand_dims(last, 1), [last]
    return last, ops.flip(outputs, axis=1) if layer.go_backwards else outputs, [last]


def _over_cell(cell, sequences, state, mask, training, loop):
    takes_training = "training" in inspect.signature(cell.call).parameters
    kwargs = {"training": training} if takes_training else {}

    def step(h, inputs):
        x, *mask_t = inputs
        new = ops.cast(cell(x, [h], **kwargs)[0], h.dtype)
        if mask_t:
            new = ops.where(mask_t[0], new, h)
        return new, new

    return scan(step, state, batch_major=given(sequences, mask), autodiff=True, **loop)
