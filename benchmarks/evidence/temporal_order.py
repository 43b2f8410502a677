"""Temporal order, with clipped and with unclipped gradients.

Two symbols, each A or B, stand among distractors, one after a tenth and one after four tenths of the sequence; the
class is which came first and which second (Hochreiter & Schmidhuber 1997, task 6a; Pascanu, Mikolov & Bengio 2013,
section 4.1.1).
"""

import keras
import numpy as np

import keras_vrnn as kv
from benchmarks.evidence.experiment import Experiment, Table, spread, values
from benchmarks.evidence.learning import learn, start

SETTINGS = ((20, 0.01), (20, 0.1), (50, 0.1))  # time steps and learning rate
UNITS, BATCH, UPDATES, THRESHOLD = 50, 64, 6000, 1.0
CLIPPED = {"clipped": THRESHOLD, "not clipped": None}
DISTRACTORS = 4


def parts(quick):
    if quick:
        return {_part(20, 0.1, "clipped"): (20, 0.1, "clipped")}
    return {
        _part(timesteps, rate, clipped): (timesteps, rate, clipped)
        for timesteps, rate in SETTINGS
        for clipped in CLIPPED
    }


def _part(timesteps, rate, clipped):
    return f"T = {timesteps}, rate {rate:g}, {clipped}"


def measure(timesteps, rate, clipped, *, seed, quick):
    start(seed)
    inputs = keras.Input((timesteps, 2 + DISTRACTORS))
    x = kv.VanillaRNN(UNITS, recurrent_initializer=kv.initializers.SpectralRadius(0.95))(inputs)
    model = kv.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))
    model.compile(
        keras.optimizers.SGD(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        global_clipnorm=CLIPPED[clipped],
    )
    norms = kv.callbacks.GradientNorms()
    found = learn(
        model,
        lambda rng, count: sequences(rng, count, timesteps),
        500 if quick else UPDATES,
        seed,
        batch=BATCH,
        solved=lambda found: found["accuracy"] > 0.99,
        callbacks=[norms],
    )
    return found | {"largest_norm": float(np.max(norms.norms))}


def sequences(rng, count, timesteps):
    """Returns inputs, (count, timesteps, 6), one-hot, and classes, (count,)."""
    symbols = rng.integers(2, 2 + DISTRACTORS, (count, timesteps))
    first, second = rng.integers(0, 2, (2, count))
    rows, tenth = np.arange(count), timesteps / 10
    symbols[rows, rng.integers(int(tenth), int(2 * tenth) + 1, count)] = first
    symbols[rows, rng.integers(int(4 * tenth), int(5 * tenth) + 1, count)] = second
    return np.eye(2 + DISTRACTORS, dtype="float32")[symbols], 2 * first + second


def tables(figures):
    rows = [
        [f"{timesteps}", f"{rate:g}", clipped, *_cells(figures, _part(timesteps, rate, clipped))]
        for timesteps, rate in SETTINGS
        for clipped in CLIPPED
    ]
    head = ["T", "learning rate", "gradient", "accuracy", "seeds that solve it", "updates", "largest norm"]
    yield Table(head, rows, "When training ended.")


def _cells(figures, part):
    right, solved, updates, norms = (
        values(figures, part, key) for key in ("accuracy", "solved", "updates", "largest_norm")
    )
    if not len(right):
        return ["missing"] * 4
    accuracy = spread(100 * right, ".1f", " %")
    return [accuracy, f"{solved.sum()} of {len(solved)}", f"{updates.mean():,.0f}", f"{norms.max():.3g}"]


def reading(figures):
    for clipped in CLIPPED:
        solved = np.concatenate([values(figures, _part(*each, clipped), "solved") for each in SETTINGS])
        if len(solved):
            count = int(solved.sum())
            yield f"{clipped[0].upper()}{clipped[1:]}: {count} of {len(solved)} trainings solve the problem."


EXPERIMENT = Experiment(
    name="temporal_order",
    title="Temporal order and clipping",
    claim="Clipping the norm of the gradient makes SGD learn where it otherwise does not.",
    setting=(
        f"{UNITS} tanh units, spectral radius 0.95, SGD without momentum, up to {UPDATES:,} updates of {BATCH} new "
        f"sequences, `global_clipnorm={THRESHOLD:g}` or none; training ends above 99 % on 2,000 other sequences. "
        "Scaled to two cores: the paper trains on longer sequences, and for longer."
    ),
    chance="25 %",
    published=(
        (
            "SGD with clipped gradients solves the problem for longer sequences, and more often, than SGD without",
            "Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 4.1.1",
        ),
    ),
    parts=parts,
    measure=measure,
    tables=tables,
    reading=reading,
)
