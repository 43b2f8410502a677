"""A recurrent layer and its train step, with and without the native kernel."""

import numpy as np
import tensorflow as tf

import keras_vrnn as kv
from keras_vrnn import native

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 9, 3)).astype("float32")
Y = RNG.normal(size=(6, 1)).astype("float32")
BOTH = ["KerasVrnnRecurrence", "KerasVrnnRecurrenceGradient"]


def make(**options):
    layer = kv.VanillaRNN(5, bias_initializer="random_normal", **options)
    layer.build(X.shape)
    return layer


def native_ops(function, *arguments):
    """The ops of the native kernel in a program, also inside functions that it calls."""
    definition = function.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    return sorted({node.op for node in nodes if node.op.startswith("KerasVrnn")})


def train_step(layer):
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(layer(x, training=True)))
        return loss, *tape.gradient(loss, [x, *layer.trainable_weights])

    return step


def assert_same(a, b):
    for one, other in zip(tf.nest.flatten(a), tf.nest.flatten(b), strict=True):
        # float32 rounding of sums of squares of up to 30 terms, over 9 steps each way.
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def off(function, *arguments):
    """The result without the native kernel."""
    native.set_enabled(False)
    try:
        return function(*arguments)
    finally:
        native.set_enabled(True)
