"""How much a model loses without a unit: two estimates, both from a few batches of data (TensorFlow).

taylor    E_batches[(Σ_w w·∂L/∂w)²] over the weights w that read the unit: the first-order estimate of the squared
          change of the loss L if the unit's values were 0 at every step (Molchanov et al. 2019, "Importance Estimation
          for Neural Network Pruning", section 3, with a gate on each unit; Molchanov et al. 2017, section 2.2).
energy    E[h²]·Σ_w w²: the size of what the unit adds to its readers' sums, as |w|·‖x‖ for a single weight in Sun
          et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models", section 3. Needs no targets.
"""

import keras
import numpy as np

from keras_vrnn.layers.interception import recurrences_replaced, replaced


def taylor(channels, model, batches, compute_loss):
    """Returns the estimate of each unit's importance, by its number.

    Args:
        channels: `Channels` of the model.
        model: the model, uncompiled.
        batches: (x, y, sample_weight) of each batch.
        compute_loss: loss of (x, y, y_pred, sample_weight).
    """
    import tensorflow as tf

    axes = _readers(channels)
    total = np.zeros(channels.count)
    for x, y, sample_weight in batches:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            values = [axis.variable.value for axis in axes]
            tape.watch(values)
            loss = compute_loss(x=x, y=y, y_pred=model(x, training=False), sample_weight=sample_weight)
        gradients = tape.gradient(loss, values, unconnected_gradients="zero")
        change = np.zeros(channels.count)
        for axis, value, gradient in zip(axes, values, gradients, strict=True):
            _add(channels, change, axis, np.multiply(value, gradient, dtype=np.float64))
        total += change**2
    return total / len(batches)


def energy(channels, model, batches):
    """Returns the estimate of each unit's importance, by its number. Arguments as of `taylor`."""
    squares, counts = np.zeros(channels.count), np.zeros(channels.count)
    by_layer = {id(group.layer): group.numbers for group in channels.groups}

    def observe(layer, loop, sequences, initial_state, mask):
        # All steps are wanted, also where the layer returns the last one.
        with replaced(layer, "return_sequences", True):
            last, outputs, states = loop(sequences, initial_state, mask)
        weight = np.ones(outputs.shape[:2]) if mask is None else np.reshape(mask, outputs.shape[:2])
        weight = weight[:, ::-1] if layer.go_backwards else weight
        numbers = channels.roots(by_layer[id(layer)])
        np.add.at(squares, numbers, np.einsum("btu,bt->u", np.square(outputs, dtype=np.float64), weight))
        np.add.at(counts, numbers, weight.sum())
        return last, outputs, states

    with recurrences_replaced([group.layer for group in channels.groups], observe):
        for x, _, _ in batches:
            model(x, training=False)
    weights = np.zeros(channels.count)
    for axis in _readers(channels):
        _add(channels, weights, axis, np.square(axis.variable, dtype=np.float64))
    return squares / np.maximum(counts, 1) * weights


def _readers(channels):
    return [axis for axis in channels.axes.values() if axis.reads]


def _add(channels, total, axis, values):
    """Adds up `values` of a variable's shape for each unit that `axis` belongs to."""
    others = tuple(n for n in range(values.ndim) if n != axis.axis)
    np.add.at(total, channels.roots(axis.numbers), np.sum(keras.ops.convert_to_numpy(values), axis=others))
