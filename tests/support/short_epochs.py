"""A small model, data of 80 batches in several forms, and a callback that sees each batch: for what `fit` decides."""

import keras
import numpy as np
import tensorflow as tf

import keras_vrnn as kv

X = np.zeros((320, 6, 3), "float32")
DATA = tf.data.Dataset.from_tensor_slices((X, X[:, 0])).batch(4)


def model(layer=None, **options):
    made = kv.Sequential([keras.Input((6, 3)), layer or kv.VanillaRNN(4), keras.layers.Dense(3)])
    made.compile("sgd", "mse", **options)
    return made


class EachBatch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 60
