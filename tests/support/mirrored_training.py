"""Trainings on one and on two logical CPUs; prints their results as JSON. Run by test_update.py."""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras_vrnn as kv  # noqa: E402 - devices first

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def mean(y_true, y_pred):
    return keras.ops.mean(y_pred, axis=-1)


def linear(x, strategy, batch_size=2, **compile_args):
    with strategy.scope():
        dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = kv.Sequential([keras.Input((2,)), dense])
        model.compile(compile_args.pop("optimizer", None) or keras.optimizers.SGD(1.0), mean, **compile_args)
    norms = kv.callbacks.GradientNorms()
    x = np.array(x, "float32")
    y = np.zeros((len(x), 1), "float32")
    history = model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[norms]).history
    return model, norms, history


def recurrent(strategy, optimizer=keras.optimizers.Adam, embedding=False, **compile_args):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, size=(48, 6)) if embedding else rng.normal(size=(48, 6, 3)).astype("float32")
    y = rng.normal(size=(48, 2)).astype("float32")
    keras.utils.set_random_seed(1)
    with strategy.scope():
        layers = [keras.Input(x.shape[1:], dtype=x.dtype.name)]
        layers += [keras.layers.Embedding(5, 3)] if embedding else []
        model = kv.Sequential([*layers, keras.layers.SimpleRNN(4), keras.layers.Dense(2)])
        model.compile(optimizer(0.01), "mse", metrics=["mae"], global_clipnorm=0.5, **compile_args)
    norms = kv.callbacks.GradientNorms()
    history = model.fit(
        x,
        y,
        batch_size=8,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[norms],
        validation_data=None if embedding else (x[:8], y[:8]),
    ).history
    weights = np.concatenate([np.ravel(w) for w in model.get_weights()])
    return {"weights": weights.tolist(), "norms": norms.norms.tolist(), "logs": history}


def one_and_two(**arguments):
    return {
        "one": recurrent(tf.distribute.get_strategy(), **arguments),
        "two": recurrent(strategy, **arguments),
    }


def scaled_adam(learning_rate):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(learning_rate), initial_scale=64.0)


results = {}
model, norms, _ = linear([[3, 4], [3, -4]], strategy, global_clipnorm=1.0)
results["opposed"] = {"weights": np.ravel(model.get_weights()).tolist(), "norms": norms.norms.tolist()}

# Four batches of two rows, one a replica; the third batch has an inf on the second replica.
x = [[1, 1], [1, 1], [1, 1], [1, 1], [1, 1], [np.inf, 1], [1, 1], [1, 1]]
model, norms, history = linear(x, strategy)
results["inf"] = {
    "weights": np.ravel(model.get_weights()).tolist(),
    "skipped": history["skipped_steps"],
    "iterations": int(model.optimizer.iterations.numpy()),
}

results["graph"] = one_and_two()
results["embedding, loss scale"] = one_and_two(optimizer=scaled_adam, embedding=True)

results["refused"] = []
for arguments in (
    {"optimizer": keras.optimizers.SGD(1.0, gradient_accumulation_steps=2)},
    {"steps_per_execution": 2},
    {"truncate_steps": 1},
):
    try:
        linear([[1, 1], [1, 1]], strategy, **arguments)
    except ValueError as error:
        results["refused"].append(str(error))

print(json.dumps(results))
