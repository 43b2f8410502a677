"""A recurrent layer as functions of arrays on JAX, with and without the native kernel."""

import jax
import numpy as np

import keras_vrnn as kv
from keras_vrnn import native

X = np.random.default_rng(3).normal(size=(6, 9, 3)).astype("float32")
Y = np.random.default_rng(4).normal(size=(6, 1)).astype("float32")
MASK = np.arange(9)[None, :] < np.array([9, 1, 4, 7, 9, 2])[:, None]
BOTH = {"keras_vrnn_recurrence", "keras_vrnn_recurrence_gradient"}


def make(units=5, **options):
    layer = kv.VanillaRNN(units, bias_initializer="random_normal", **options)
    layer.build(X.shape)
    return layer


def of_layer(layer, **call):
    """(function of weights and x, weights)."""
    frozen = [v.value for v in layer.non_trainable_variables]
    call = {"training": True, **call}
    return (lambda w, x: layer.stateless_call(w, frozen, x, **call)[0]), [
        v.value for v in layer.trainable_variables
    ]


def loss_of(layer, **call):
    function, weights = of_layer(layer, **call)
    return (lambda w, x: (function(w, x) ** 2).sum()), weights


def calls(function, *arguments):
    """Names of the library's functions that the compiled program of a function calls."""
    text = jax.jit(function).lower(*arguments).as_text()
    return {name for name in BOTH if f"custom_call @{name}(" in text}


def both_ways(compute):
    """The leaves of a result with and without the kernel, of a function that has JAX trace anew in each call."""
    found = []
    for on in (True, False):
        native.set_enabled(on)
        found.append([np.asarray(leaf) for leaf in jax.tree.leaves(compute())])
    native.set_enabled(True)
    return found


def assert_same(compute):
    for a, b in zip(*both_ways(compute), strict=True):
        # float32 rounding of sums of up to 300 terms, over 9 steps each way, up to three times.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, np.max(abs(b), initial=0)))
