"""`fit`, `evaluate` and `predict` as users call them: on NumPy arrays, with default arguments."""

import numpy as np

from benchmarks.worker import Job

_VOCABULARY = 2000


def build(contender, model, method, verbose):
    """Returns one epoch as a `Job`.

    Args:
        contender: `plan.Contender`; its package provides the model and the layer.
        model: `plan.FitModel`.
        method: "fit", "evaluate" or "predict".
        verbose: As in `fit`.
    """
    from keras_vrnn import native

    x, y = _data(model)
    network = _network(contender.package, model)
    data = (x,) if method == "predict" else (x, y)

    def call():
        native.set_enabled(contender.native)  # contenders alternate, and `fit` may trace at any time
        return getattr(network, method)(*data, batch_size=model.shape.batch, verbose=verbose)

    # Two warm-up calls: the first builds and compiles, the second adapts to variables that the first created.
    return Job(call, model.updates, warm_calls=2, warm_seconds=0)


def _data(model):
    random = np.random.default_rng(7)
    rows, shape = model.updates * model.shape.batch, model.shape
    if model.kind == "text":
        x = random.integers(1, _VOCABULARY, size=(rows, shape.time), dtype="int32")
        # Texts of different lengths, padded in front.
        x[np.arange(shape.time) < random.integers(0, shape.time // 2, size=(rows, 1))] = 0
    else:
        x = random.normal(size=(rows, shape.time, shape.features)).astype("float32")
    y = random.integers(0, 2, size=(rows, shape.time, 1) if model.kind == "sequence" else (rows, 1))
    return x, y.astype("float32")


def _network(package, model):
    import keras

    if package == "keras_vrnn":
        from keras_vrnn import Model
        from keras_vrnn import VanillaRNN as RNN
    else:
        from keras import Model
        from keras.layers import SimpleRNN as RNN
    keras.utils.set_random_seed(7)
    shape = model.shape
    if model.kind == "text":
        inputs = keras.Input((shape.time,), dtype="int32")
        hidden = keras.layers.Embedding(_VOCABULARY, shape.features, mask_zero=True)(inputs)
    else:
        inputs = hidden = keras.Input((shape.time, shape.features))
    hidden = RNN(shape.units, return_sequences=model.kind == "sequence")(hidden)
    network = Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    network.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return network
