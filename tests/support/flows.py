"""Gradient flows with given numbers, and small models and data to measure."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import GradientFlow
from keras_vrnn.diagnostics.flow import LayerFlow
from keras_vrnn.diagnostics.remedies import Traits


def layer_flow(decay, name="rnn", **options):
    """The flow through one layer: a loss that reads the last step alone, of a task that is not learned."""
    decay = np.asarray(decay, float)
    direct = np.zeros(len(decay))
    direct[0] = 1.0
    given = dict(
        name=name,
        norms=decay,
        direct=direct,
        decay=decay,
        amplification=decay.max(),
        relative_loss=1.0,
        floor=1e-38,
        traits=Traits("vanilla", "tanh"),
    )
    return LayerFlow(**given | options)


def gradient_flow_of(*layers, **options):
    return GradientFlow(layers, **{"loss": 0.5, "chance": 0.5, "sequences": 4} | options)


def only(flow):
    """The flow through the only layer."""
    (layer,) = flow.layers
    return layer


def linear(radius, steps, dtype="float32"):
    """h_t = h_{t-1}·W_h + …, W_h = `radius` times an orthogonal matrix: every step changes the norm by that factor."""
    keras.utils.set_random_seed(1)
    recurrent = kv.VanillaRNN(
        8, activation="linear", recurrent_initializer=keras.initializers.Orthogonal(gain=radius), dtype=dtype
    )
    return keras.Sequential([keras.Input((steps, 3)), recurrent, layers.Dense(1)])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def trained(model, x, y, loss="mse", epochs=30, rate=1e-2, callbacks=(), **compile_args):
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False, **compile_args)
    return model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks))


def weighted_sum(weights):
    """L = Σ weights·outputs over everything, averaged over the batch: its gradient by the outputs is known."""
    weights = tf.constant(weights)
    return lambda y, outputs: tf.reduce_sum(weights * outputs, axis=tuple(range(1, len(outputs.shape))))
