"""`python -m benchmarks.adding_problem`: how long a memory each cell can learn.

The adding problem (Hochreiter & Schmidhuber 1997; Le, Jaitly & Hinton 2015, section 4.1): a sequence of numbers drawn
from [0, 1), two of which are marked, one in each half; the target is their sum. Answering 1 always has a mean squared
error of 0.167. Each model has 64 units and sees new sequences all the time: --updates batches of 64, Adam,
global_clipnorm=1, the learning rate falling to zero along half a cosine. The table has the error of each seed, from the
smallest to the largest, on 2,000 other sequences.
"""

import argparse
import functools

import keras
import numpy as np

import keras_vrnn as kv
from benchmarks.choosing_a_cell import CELLS as CHOICE

CELLS = {
    **CHOICE,
    "VanillaRNN, tanh, Glorot": lambda units: kv.VanillaRNN(units, recurrent_initializer="glorot_uniform"),
}
UNITS, BATCH = 64, 64
# Of 0.001 and 0.01, the rate with the smaller error of seed 0.
RATES = dict.fromkeys(CELLS, 1e-3) | {"FastRNN": 1e-2}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adding_problem", description=__doc__)
    parser.add_argument("--timesteps", type=int, nargs="+", default=[100])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), metavar="cell")
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, help="initial learning rate, instead of each cell's own")
    options = parser.parse_args(argv)
    print("| cell | " + " | ".join(f"{t} steps" for t in options.timesteps) + " |")
    print("|---" * (1 + len(options.timesteps)) + "|")
    for name in options.cells:
        cells = []
        for timesteps in options.timesteps:
            build = functools.partial(CELLS[name], UNITS)
            errors = [
                error(build, timesteps, options.updates, seed, options.rate or RATES[name])
                for seed in range(options.seeds)
            ]
            cells.append(" ".join(f"{each:.4f}" for each in sorted(errors)))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def error(build, timesteps, updates, seed, rate):
    """Returns the mean squared error of a model after training."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((timesteps, 2))
    model = kv.Model(inputs, keras.layers.Dense(1)(build()(inputs)))
    schedule = keras.optimizers.schedules.CosineDecay(rate, updates)
    model.compile(keras.optimizers.Adam(schedule), "mse", global_clipnorm=1.0)
    rng = np.random.default_rng(seed)
    per_epoch = 500
    for _ in range(updates // per_epoch):
        model.fit(*sequences(rng, BATCH * per_epoch, timesteps), batch_size=BATCH, verbose=0)
    return model.evaluate(
        *sequences(np.random.default_rng(999), 2000, timesteps), verbose=0, return_dict=True
    )["loss"]


def sequences(rng, count, timesteps):
    """Returns inputs, (count, timesteps, 2), and targets, (count, 1)."""
    numbers = rng.random((count, timesteps), dtype="float32")
    marks = np.zeros_like(numbers)
    rows, half = np.arange(count), timesteps // 2
    marks[rows, rng.integers(0, half, count)] = 1
    marks[rows, rng.integers(half, timesteps, count)] = 1
    return np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=1, keepdims=True)


if __name__ == "__main__":
    main()
