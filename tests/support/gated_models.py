"""Random models of gated recurrences."""

import keras
import numpy as np
from exported_models import randomize
from keras import layers

import keras_vrnn as kv

TIMESTEPS = 8
_NATIVE = ("tanh", "sigmoid", "relu6", "hard_sigmoid", "hard_tanh")


def gated_model(seed, only_native=False):
    """Returns a random model of one or two recurrences, and its data.

    By turns GRU in both forms, LSTM and FastRNN; with random activations, masks, directions, states and stacks.

    Args:
        seed: an integer.
        only_native: whether to leave out activations that int16 files lack.
    """
    rng = np.random.default_rng(seed)
    features, units = int(rng.integers(1, 7)), int(rng.integers(1, 9))
    activations = _NATIVE if only_native else (*_NATIVE, "elu", "softsign")
    usual = bool(rng.integers(2))
    options = {
        "activation": "tanh" if usual else activations[rng.integers(len(activations))],
        "use_bias": bool(rng.integers(4)),
        "go_backwards": bool(rng.integers(2)),
        "zero_output_for_mask": bool(rng.integers(2)),
    }
    gates = {"recurrent_activation": "sigmoid" if usual else activations[rng.integers(len(activations))]}
    kinds = [
        lambda **more: layers.GRU(units, **options, **gates, **more),
        lambda **more: layers.GRU(units, reset_after=False, **options, **gates, **more),
        lambda **more: layers.LSTM(units, **options, **gates, **more),
        lambda **more: kv.FastRNN(units, **options, **more),
    ]
    layer = kinds[seed % len(kinds)]
    inputs = keras.Input((TIMESTEPS, features), name="x")
    x = layers.Masking()(inputs) if rng.integers(2) else inputs
    form = int(rng.integers(4))
    if form == 0:
        y = layer(return_sequences=True)(x)
    elif form == 1:
        options["zero_output_for_mask"] = False
        y = layer()(layers.GRU(4, return_sequences=True)(x))
    elif form == 2:
        options["go_backwards"] = False
        y = layers.Bidirectional(layer(return_sequences=True))(x)
    else:
        options["go_backwards"] = False
        made, *states = layer(return_sequences=True, return_state=True)(x)
        y = layer(return_sequences=True)(made, initial_state=states)
    model = randomize(keras.Model(inputs, layers.Dense(3, name="y")(y)), seed)
    data = rng.normal(size=(8, TIMESTEPS, features)).astype("float32")
    data[1, 5:] = data[2, :3] = 0.0
    return model, data
