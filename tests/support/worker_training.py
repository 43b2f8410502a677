"""Trainings in one or in several processes; prints their results as JSON. Run by test_workers.py.

Argument: "alone", or the number of this worker and the addresses of all, as in 1 localhost:4000 localhost:4001.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if sys.argv[1] != "alone":
    task = {"type": "worker", "index": int(sys.argv[1])}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": sys.argv[2:]}, "task": task})

import keras
import numpy as np
import tensorflow as tf

# Before anything else touches TensorFlow: the workers find each other when it starts.
several = sys.argv[1] != "alone"
strategy = tf.distribute.MultiWorkerMirroredStrategy() if several else tf.distribute.get_strategy()

import keras_vrnn as kv  # noqa: E402


def mean(y_true, y_pred):
    return keras.ops.mean(y_pred, axis=-1)


def train(layers, loss, x, y, batch_size, optimizer, **arguments):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = kv.Sequential(layers())
        model.compile(optimizer(), loss, global_clipnorm=arguments.pop("clip", None), metrics=["mae"])
    norms = kv.callbacks.GradientNorms()
    fit = {"batch_size": batch_size, "shuffle": False, "verbose": 0, "callbacks": [norms], **arguments}
    history = model.fit(x, y, **fit).history
    return {
        "weights": np.concatenate([np.ravel(w) for w in model.get_weights()]).tolist(),
        "norms": norms.norms.tolist(),
        "logs": history,
        "iterations": int(np.asarray(model.optimizer.iterations)),
        "evaluation": model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True),
    }


def linear():
    return [keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]


def recurrent():
    return [keras.Input((6, 3)), kv.VanillaRNN(4), keras.layers.Dense(2)]


def rows(*values):
    return np.array(values, "float32"), np.zeros((len(values), 1), "float32")


rng = np.random.default_rng(0)
x, y = rng.normal(size=(48, 6, 3)).astype("float32"), rng.normal(size=(48, 2)).astype("float32")
sgd = lambda: keras.optimizers.SGD(1.0)  # noqa: E731
results = {
    "opposed": train(linear, mean, *rows([3, 4], [3, -4]), 2, sgd, clip=1.0),
    "inf": train(linear, mean, *rows([1, 1], [1, 1], [1, 1], [np.inf, 1], [1, 1], [1, 1]), 2, sgd),
    "recurrent": train(
        recurrent,
        "mse",
        x,
        y,
        8,
        lambda: keras.optimizers.Adam(0.01),
        clip=0.5,
        epochs=2,
        validation_data=(x[:16], y[:16]),
    ),
}
print(json.dumps(results))
