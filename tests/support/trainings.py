"""Small models and data that several training tests share."""

import csv

import keras
import numpy as np

import keras_vrnn as kv

GRADIENT_LOGS = {"grad_norm", "grad_norm_max", "clipped_grad_norm", "clip_fraction", "skipped_steps"}

# float32 rounding of one step is about 1e-7; two orders more for its growth over 200 steps of training.
RECORDED = 1e-5
# Two trainings whose clipping factors are rounded in a different order, over some tens of steps.
TRAINED = 1e-6


def sequences():
    """Tokens, in each sequence one of them twice, and targets."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(1, 9, size=(96, 6))
    tokens[:, 3] = tokens[:, 1]
    return tokens, rng.normal(size=(96, 2)).astype("float32")


def recurrent_model(model_class, dtype=None):
    """An embedding, a gated layer that is not ours, and a dense one."""
    keras.utils.set_random_seed(1)
    tokens = keras.Input((6,), dtype="int32")
    h = keras.layers.Embedding(9, 4, dtype=dtype)(tokens)
    h = keras.layers.LSTM(5, dtype=dtype)(h)
    return model_class(tokens, keras.layers.Dense(2, dtype=dtype)(h))


def linear_model(loss=None, optimizer=None, **compile_args):
    """L = mean of x·w, from w = 0: the gradient is the mean of the batch's rows."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = kv.Sequential([keras.Input((2,)), dense])
    model.compile(optimizer or keras.optimizers.SGD(1.0), loss or mean, **compile_args)
    return model


def mean(y_true, y_pred):
    return keras.ops.mean(y_pred, axis=-1)


def weights_of(model):
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


def batches(count=50, bad=None):
    """Rows (k, 0): the gradient of the linear model has norm k."""
    x = np.zeros((count, 2), "float32")
    x[:, 0] = np.arange(1, count + 1)
    if bad is not None:
        x[bad] = np.nan
    return x, np.zeros((count, 1), "float32")


def train_recorded(norms, count=50, bad=None, epochs=1, **compile_args):
    """Trains a linear model on `batches`, with a callback; returns the model."""
    model = linear_model(**compile_args)
    x, y = batches(count, bad)
    model.fit(x, y, batch_size=1, epochs=epochs, shuffle=False, verbose=0, callbacks=[norms])
    return model


def read_csv(path):
    """The header of a CSV file, and its rows as numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows, dtype=float)
