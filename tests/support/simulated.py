"""Exported models in the simulation and in TFLite Micro, and random recurrences to compare them on."""

import warnings

import keras
import numpy as np
from exported_models import randomize
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.micro.interpreter import MicroRunner
from keras_vrnn.tflite.running.simulator import Simulator

# Bounded activations let the state neither die nor grow, whatever the weights are.
ACTIVATIONS = ("tanh", "sigmoid", "hard_tanh", "relu", "relu6", "linear")
OTHERS = ("elu", "selu", "softsign", "gelu", "silu", "leaky_relu", "hard_sigmoid", "softplus", "mish")


def export(model, path, x, **options):
    """Exports a model however far the file is from it, which is not the matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kv.tflite.AccuracyWarning)
        kv.tflite.export(model, path, calibration_data=x, overwrite=True, max_error=1e9, **options)


def compare(model, x, path, **options):
    """Exports a model and runs the file in both.

    Returns:
        Differing integers by output, and how many were compared.
    """
    export(model, path, x, **options)
    return compare_file(path, x)


def compare_file(path, x):
    """Runs a file in both; returns the same."""
    simulated, micro = Simulator(path), MicroRunner(path)
    ours, theirs = simulated(x), micro(x)
    if not isinstance(ours, dict):
        ours, theirs = {simulated.outputs[0]: ours}, {micro.outputs[0]: theirs}
    assert list(ours) == list(theirs)
    different = {name: int(np.count_nonzero(ours[name] != theirs[name])) for name in ours}
    return {name: n for name, n in different.items() if n}, sum(output.size for output in ours.values())


def recurrence(seed, timesteps, units):
    """A random model of recurrences alone, whose outputs are states; its data and a description.

    By turns a layer, a layer from an initial state, both directions or a stack, each with a random activation, at times
    backwards, over masked steps, or with zero outputs there.
    """
    rng = np.random.default_rng(seed)
    kind = ("layer", "initial state", "bidirectional", "stack")[seed % 4]
    features, masked = int(rng.integers(1, 9)), bool(rng.integers(2))
    options = {
        "activation": ACTIVATIONS[rng.integers(len(ACTIVATIONS))],
        "use_bias": bool(rng.integers(4)),
        "return_sequences": True,
    }
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((timesteps, features), name="x")
    x = {"x": rng.normal(size=(2, timesteps, features)).astype("float32")}
    read = inputs
    if masked:
        read = layers.Masking()(inputs)
        x["x"][1, timesteps // 2 :] = 0
    if kind == "stack":
        made = kv.StackedVanillaRNN([units, units + 1], **options)(read)
        model = keras.Model(inputs, made)
    elif kind == "bidirectional":
        made = layers.Bidirectional(kv.VanillaRNN(units, **options))(read)
        model = keras.Model(inputs, made)
    else:
        layer = kv.VanillaRNN(
            units,
            go_backwards=bool(rng.integers(2)),
            return_state=True,
            zero_output_for_mask=bool(rng.integers(2)),
            **options,
        )
        start = keras.Input((units,), name="h")
        if kind == "initial state":
            x["h"] = rng.normal(0, 0.5, (2, units)).astype("float32")
            model = keras.Model([inputs, start], layer(read, initial_state=start))
        else:
            model = keras.Model(inputs, layer(read))
    x = x if len(x) > 1 else x["x"]
    return randomize(model, seed), x, f"seed {seed}: {kind}, T={timesteps}, masked={masked}, {options}"
