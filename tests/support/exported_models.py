"""Small recurrent models of many kinds and data for them, which the export tests share."""

import keras
import numpy as np
from keras import layers

import keras_vrnn as kv


def random_data(*shape):
    return np.random.default_rng(5).normal(size=shape).astype("float32")


def random_tokens(samples, timesteps, vocabulary, padded=True):
    rng = np.random.default_rng(6)
    x = rng.integers(1, vocabulary, (samples, timesteps), dtype=np.int32)
    if padded:
        for row in x:
            row[rng.integers(1, timesteps) :] = 0
    return x


def randomize(model, seed=7):
    """Random asymmetric weights, biases too; recurrent kernels scaled so that the state neither dies nor saturates."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "moving_variance" in variable.path or "gamma" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, size=variable.shape))
            continue
        gain = 0.9 if "recurrent" in variable.path else 1.0
        scale = gain / np.sqrt(np.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 0.3
        variable.assign(rng.normal(scale=scale, size=variable.shape))
    return model


def dense_front(timesteps=9, **options):
    return randomize(
        kv.Sequential([keras.Input((timesteps, 4)), kv.VanillaRNN(6, **options), layers.Dense(3, "softmax")])
    )


def token_model(timesteps=12, padded=True, **options):
    return randomize(
        kv.Sequential(
            [
                keras.Input((timesteps,), dtype="int32"),
                layers.Embedding(20, 5, mask_zero=padded),
                kv.VanillaRNN(6, **options),
                layers.Dense(1, "sigmoid"),
            ]
        )
    )


def bidirectional():
    inputs = keras.Input((8,), dtype="int32")
    x = layers.Embedding(20, 5, mask_zero=True)(inputs)
    x = layers.Bidirectional(kv.VanillaRNN(6, return_sequences=True))(x)
    return randomize(kv.Model(inputs, layers.Dense(3)(kv.VanillaRNN(7)(x))))


def encoder_decoder():
    source = keras.Input((6, 4), name="source")
    target = keras.Input((5, 3), name="target")
    _, state = kv.VanillaRNN(6, return_state=True)(source)
    y = keras.layers.SimpleRNN(6, return_sequences=True)(target, initial_state=state)
    return randomize(kv.Model([source, target], layers.Dense(2, name="y")(y)))


def residual_with_two_outputs():
    inputs = keras.Input((7, 4), name="motion")
    x = layers.Dense(5, activation="relu")(inputs)
    sequence, state = kv.VanillaRNN(5, return_sequences=True, return_state=True)(x)
    x = layers.Add()([x, sequence])
    last = kv.VanillaRNN(4, go_backwards=True)(x, mask=None)
    return randomize(kv.Model(inputs, [layers.Dense(2, name="label")(last), state, sequence]))


MODELS = {
    "many_to_one": (dense_front, lambda: random_data(40, 9, 4)),
    "many_to_many": (lambda: dense_front(return_sequences=True), lambda: random_data(40, 9, 4)),
    "no bias": (lambda: dense_front(use_bias=False), lambda: random_data(40, 9, 4)),
    "backwards": (lambda: dense_front(go_backwards=True), lambda: random_data(40, 9, 4)),
    "relu": (lambda: dense_front(activation="relu"), lambda: random_data(40, 9, 4)),
    "sigmoid": (lambda: dense_front(activation="sigmoid"), lambda: random_data(40, 9, 4)),
    "linear": (lambda: dense_front(activation=None), lambda: random_data(40, 9, 4)),
    "masked": (token_model, lambda: random_tokens(40, 12, 20)),
    "masked many_to_many": (lambda: token_model(return_sequences=True), lambda: random_tokens(40, 12, 20)),
    "masked, zero outputs": (
        lambda: token_model(return_sequences=True, zero_output_for_mask=True),
        lambda: random_tokens(40, 12, 20),
    ),
    "bidirectional": (bidirectional, lambda: random_tokens(40, 8, 20)),
    "initial state, two inputs": (
        encoder_decoder,
        lambda: {"source": random_data(40, 6, 4), "target": random_data(40, 5, 3)},
    ),
    "residual, three outputs": (residual_with_two_outputs, lambda: random_data(40, 7, 4)),
    "nothing but recurrences": (
        lambda: randomize(
            keras.Sequential(
                [
                    keras.Input((9, 4)),
                    kv.VanillaRNN(6, return_sequences=True),
                    layers.SimpleRNN(5, return_sequences=True),
                ]
            )
        ),
        lambda: random_data(40, 9, 4),
    ),
}
