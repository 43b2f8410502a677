"""Trains with BackupAndRestore, and kills itself during training on request. Run by test_resume.py.

Arguments: the case, the folder of the backup, and the epoch in which to die or "no". Prints results as JSON.
"""

import json
import os
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_vrnn as kv

EPOCHS, BATCHES, ROWS = 4, 3, 2


class Die(keras.callbacks.Callback):
    """In the middle of an epoch, with no chance to tidy up."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.now = epoch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def truncated():
    """No dropout: Keras (3.15) saves no state of its random numbers, so a resumed training draws others."""
    layers = [keras.Input((None, 3)), keras.layers.LSTM(4, return_sequences=True), keras.layers.Dense(2)]
    model = kv.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.05), "mse", global_clipnorm=0.5, truncate_steps=4)
    return model


def stateful():
    """The state goes on from batch to batch, and from epoch to epoch."""
    layer = kv.VanillaRNN(4, return_sequences=True, stateful=True)
    model = kv.Sequential([keras.Input(batch_shape=(ROWS, None, 3)), layer, keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.05), "mse", global_clipnorm=0.5)
    return model


def main(case, folder, die_in):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS * BATCHES, 10, 3)).astype("float32")
    y = rng.normal(size=(ROWS * BATCHES, 10, 2)).astype("float32")
    model = {"truncated": truncated, "stateful": stateful}[case]()
    norms = kv.callbacks.GradientNorms()
    callbacks = [norms, keras.callbacks.BackupAndRestore(folder)]
    if die_in != "no":
        callbacks.append(Die(int(die_in)))
    history = model.fit(x, y, batch_size=ROWS, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
    results = {
        "weights": [np.asarray(w).tolist() for w in model.get_weights()],
        "states": [np.asarray(s).tolist() for s in getattr(model.layers[0], "states", None) or []],
        "optimizer": [np.asarray(v).tolist() for v in model.optimizer.variables],
        "iterations": int(model.optimizer.iterations),
        "epochs": history.epoch,
        "logs": history.history,
        "steps": norms.steps.tolist(),
        "norms": norms.norms.tolist(),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
