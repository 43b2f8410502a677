"""What the trained experiments share: the recurrences, and training on new sequences until a task is solved."""

import keras
import numpy as np

import keras_vrnn as kv

CELLS = {
    "tanh, orthogonal": kv.VanillaRNN,
    "IRNN": lambda units, **options: kv.VanillaRNN(
        units, "relu", recurrent_initializer=kv.initializers.ScaledIdentity(1.0), **options
    ),
    "tanh, Glorot": lambda units, **options: kv.VanillaRNN(
        units, recurrent_initializer="glorot_uniform", **options
    ),
    "FastRNN": kv.FastRNN,
    "LSTM": keras.layers.LSTM,
    "GRU": keras.layers.GRU,
}
HELD_OUT = 999  # seed of the sequences that a model is measured on


def start(seed):
    """Forgets the models before, and makes the next one repeatable."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)


def learn(model, sequences, updates, seed, *, batch, solved, every=500, held_out=2000, callbacks=()):
    """Trains on new sequences until the model solves its task, or for a number of updates.

    Args:
        model: a compiled model.
        sequences: (rng, count) → inputs and targets.
        updates: when to give up.
        seed: of the sequences.
        batch: sequences of an update.
        solved: {name: value} of `evaluate` → bool.
        every: updates between two looks at the held-out sequences.
        held_out: number of those.
        callbacks: of `fit`.

    Returns:
        The last evaluation, `updates` that were made, whether it was `solved`, and the loss at each look as `curve`.
    """
    rng = np.random.default_rng(seed)
    x, y = sequences(np.random.default_rng(HELD_OUT), held_out)
    curve, made, found = [], 0, {}
    while made < updates:
        count = min(every, updates - made)
        model.fit(*sequences(rng, batch * count), batch_size=batch, callbacks=[*callbacks], verbose=0)
        made += count
        found = model.evaluate(x, y, batch_size=500, verbose=0, return_dict=True)
        curve.append(found["loss"])
        if solved(found):
            break
    return {**found, "updates": made, "solved": solved(found), "curve": curve}
