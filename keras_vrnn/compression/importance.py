"""Estimates how much a model loses without each unit, from a few batches of data (TensorFlow).

reconstruction  Units are removed one by one, each time the one whose values the others can replace best: the least
                Σ_w w² / [M⁻¹]_jj over the weights w that read unit j, with M = E[h·hᵀ] of the layer's states. After
                each removal, the weights of the others take over (Hassibi & Stork 1993, "Optimal Brain Surgeon", for
                all weights of a unit at once as in Kurtic et al. 2023, "ZipLM"). It needs no targets.
taylor          E_batches[(Σ_w w·∂L/∂w)²] over the same weights: the first-order estimate of the squared change of the
                loss L if the unit's values were 0 (Molchanov et al. 2017, "Pruning Convolutional Neural Networks for
                Resource Efficient Inference", and 2019, "Importance Estimation for Neural Network Pruning", with a
                gate on each unit).
"""

import keras
import numpy as np

from keras_vrnn.compression import readers


def reconstruction(channels, moments):
    """Returns the place of each unit in the order of removal, by the number of the unit.

    Args:
        channels: `Channels` of the model.
        moments: `readers.moments` of its layers.
    """
    places = np.zeros(channels.count)
    for group in channels.groups:
        moment = moments[id(group.layer)]
        weights, left = readers.direct_weights(channels, group), readers.other_weights(channels, group)
        other = np.square(left).sum(axis=1) * np.diag(moment)[:-1]
        inverse = np.linalg.inv(readers.damped(moment))
        units = len(group.numbers)
        remaining = np.ones(units, bool)
        for place in range(units):
            losses = np.square(weights[:-1]).sum(axis=1) / np.diag(inverse)[:-1] + other
            unit = int(np.argmin(np.where(remaining, losses, np.inf)))
            places[channels.roots(group.numbers[unit])] += place
            remaining[unit] = False
            _eliminate(weights, inverse, unit)
            weights[:, unit : readers.own_columns(group) : units] = 0.0  # a removed unit reads nothing either
    return places


def taylor(channels, model, batches, compute_loss):
    """Returns the estimated importance of each unit, by the number of the unit.

    Args:
        channels: `Channels` of the model.
        model: the model, uncompiled.
        batches: a list of (x, y, sample_weight).
        compute_loss: a function of x, y, y_pred and sample_weight.
    """
    import tensorflow as tf

    axes = [axis for axis in channels.axes.values() if axis.reads]
    total = np.zeros(channels.count)
    for x, y, sample_weight in batches:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            values = [axis.variable.value for axis in axes]
            tape.watch(values)
            loss = compute_loss(x=x, y=y, y_pred=model(x, training=False), sample_weight=sample_weight)
        gradients = tape.gradient(loss, values, unconnected_gradients="zero")
        change = np.zeros(channels.count)
        for axis, value, gradient in zip(axes, values, gradients, strict=True):
            product = np.multiply(
                keras.ops.convert_to_numpy(value), keras.ops.convert_to_numpy(gradient), dtype=np.float64
            )
            rows = np.moveaxis(product, axis.axis, 0).reshape(len(axis.numbers), -1)
            np.add.at(change, channels.roots(axis.numbers), rows.sum(axis=1))
        total += change**2
    return total / len(batches)


def _eliminate(weights, inverse, unit):
    """Removes a unit from M⁻¹ and adds its part of the products to the weights of the others."""
    pivot = inverse[unit, unit]
    column = inverse[:, unit].copy()
    weights -= np.outer(column / pivot, weights[unit])
    inverse -= np.outer(column / pivot, column)
    weights[unit], inverse[unit], inverse[:, unit], inverse[unit, unit] = 0.0, 0.0, 0.0, 1.0
