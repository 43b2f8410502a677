"""Small models to prune, and data for them."""

import keras
import numpy as np
from keras import layers as kl

import keras_vrnn as kv

RNG = np.random.default_rng(7)
X = RNG.normal(size=(48, 6, 3)).astype("float32")
Y = RNG.normal(size=(48, 2)).astype("float32")


def half(step):
    return True, 0.5


def small_model(model_class=kv.Sequential, layer=kv.VanillaRNN):
    return model_class([keras.Input((6, 3)), layer(6, name="rnn"), kl.Dense(2, name="head")])


def trained(model, optimizer="sgd", epochs=1, callbacks=(), **options):
    options = {"jit_compile": False, **options}
    model.compile(optimizer, "mse", **options)
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def randomized(model, seed=5):
    """Random asymmetric weights and biases; those that a fresh model has may be symmetric or zero."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(scale=0.4, size=w.shape).astype("float32") + 0.1 for w in model.get_weights()]
    )
    return model


def compiled(model):
    model.compile(
        keras.optimizers.SGD(0.01), "mse", jit_compile=False
    )  # XLA compiles longer than this trains
    return model


def weight(model, ending):
    return next(w for w in model.weights if w.path.endswith(ending))


def silence(variable, rows):
    value = np.array(variable)
    value[rows] = 0.0
    variable.assign(value)
