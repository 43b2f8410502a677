"""`python -m benchmarks.choosing_a_cell`: what each cell costs, and how often it is right.

    python -m benchmarks.choosing_a_cell accuracy    # trains five seeds of each cell: about an hour
    python -m benchmarks.choosing_a_cell speed       # bytes, time per step, arena, time per update
    python -m benchmarks.choosing_a_cell table       # prints what was measured: the tables of docs/choosing_a_cell.md

Each cell has 64 units (48 in each direction for "stress"); the gated ones also come with as many weights as the vanilla
RNN. The learning rate is the one of `RATES` with the least validation loss, found with a seed that is not in the table.
Results are kept in --results after each model, and a second run goes on where the first was stopped. Needs the extras
`examples` and `micro`.
"""

import argparse
import functools
import json
import pathlib
import tempfile
import time

import keras
import numpy as np

import keras_vrnn as kv
from benchmarks import machine, real_data

SEEDS, TRIAL = (0, 1, 2, 3, 4), 99
RATES = (1e-3, 3e-3)
UNITS = {1: 64, 2: 48}  # by the number of directions
RESULTS = pathlib.Path(__file__).parent / "results" / "choosing_a_cell.json"
FORMATS = ("int8", "int16x8")
ROUNDS = 5  # measurements of a file's speed

identity = kv.initializers.ScaledIdentity
CELLS = {
    "VanillaRNN, tanh": kv.VanillaRNN,
    "VanillaRNN, ReLU, identity (IRNN)": lambda units, **options: kv.VanillaRNN(
        units, activation="relu", recurrent_initializer=identity(1.0), **options
    ),
    "FastRNN": kv.FastRNN,
    "GRU": keras.layers.GRU,
    "LSTM": keras.layers.LSTM,
}
GATED = ("GRU", "LSTM")  # these have more weights at equal units


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.choosing_a_cell",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=("accuracy", "speed", "table"))
    parser.add_argument("--data", nargs="+", choices=real_data.DATA_SETS, default=list(real_data.DATA_SETS))
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.part == "table":
        print(tables(results, options.data))
        return
    results[f"machine, {options.part}"] = machine.describe(1)
    for name in options.data:
        data = real_data.DATA_SETS[name]()
        for cell, units in contenders(data):
            kept = results.setdefault(name, {}).setdefault(f"{cell} {units}", {"cell": cell, "units": units})
            for key, measured in measurements(options.part, data, cell, units, kept):
                kept[key] = measured
                write(options.results, results)
                print(name, cell, units, key, json.dumps(measured), flush=True)


def contenders(data):
    """Yields cells and their units: all at equal units, then the gated ones at equal parameters."""
    features, directions = data.shape
    units = UNITS[directions]
    for cell in CELLS:
        yield cell, units
    target = parameters("VanillaRNN, tanh", features, units)
    for cell in GATED:
        yield cell, min(range(1, units), key=lambda n: abs(parameters(cell, features, n) - target))


@functools.cache
def parameters(cell, features, units):
    """The weights of one layer."""
    layer = CELLS[cell](units)
    layer.build((None, None, features))
    return layer.count_params()


def measurements(part, data, cell, units, kept):
    """Yields names and figures of what `kept` lacks. Speed is always measured again."""
    if part == "speed":
        yield "speed", speed(data, cell, units)
        return
    if "rate" not in kept:
        trials = {rate: trained(data, cell, units, rate, TRIAL)[1] for rate in RATES}
        yield "rate", min(trials, key=trials.get)
    for seed in SEEDS:
        if f"seed {seed}" not in kept:
            yield f"seed {seed}", accuracies(trained(data, cell, units, kept["rate"], seed)[0], data)


def trained(data, cell, units, rate, seed):
    """Returns a model and its least validation loss."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = data.build(functools.partial(CELLS[cell], units))
    history = real_data.fit(model, data, rate, data.epochs)
    return model, min(history.history["val_loss"])


def accuracies(model, data):
    """Returns the accuracy of Keras, and of the file of each format on LiteRT."""
    x, y = data.test
    found = {"Keras": real_data.accuracy(model.predict(x, verbose=0), y)}
    with tempfile.TemporaryDirectory() as folder:
        for quantization in FORMATS:
            path = pathlib.Path(folder) / f"{quantization}.tflite"
            kv.tflite.export(model, path, quantization=quantization, calibration_data=data.training[0][:500])
            found[quantization] = real_data.accuracy(kv.tflite.Runner(path)(x), y)
    return found


def speed(data, cell, units):
    """Returns bytes, µs per step and arena of files that are not trained, and the time of an update in ms."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = data.build(functools.partial(CELLS[cell], units))
    features, directions = data.shape
    found = {"weights": directions * parameters(cell, features, units), "update_ms": update_time(model, data)}
    with tempfile.TemporaryDirectory() as folder:
        for quantization in FORMATS:
            path = pathlib.Path(folder) / f"{quantization}.tflite"
            kv.tflite.export(model, path, quantization=quantization, calibration_data=data.training[0][:500])
            # The fastest of several: the machine has other things to do.
            rounds = [kv.tflite.benchmark(path) for _ in range(ROUNDS)]
            fastest = min(rounds, key=lambda each: each.step_us["p50"])
            found[quantization] = {
                "bytes": fastest.size,
                "step_us": fastest.step_us["p50"],
                "arena": fastest.arena and fastest.arena.total,
            }
    return found


def update_time(model, data, epochs=6):
    """Returns the time of an update in the fastest epoch, in ms, without the first epoch, which compiles."""
    times = []
    begin = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: times.append(-time.perf_counter()),
        on_epoch_end=lambda epoch, logs: times.append(times.pop() + time.perf_counter()),
    )
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", global_clipnorm=1.0)
    model.fit(*data.training, batch_size=64, epochs=epochs, callbacks=[begin], verbose=0)
    return 1000 * min(times[1:]) / -(-len(data.training[0]) // 64)


def tables(results, names):
    """Returns a Markdown table for each data set."""
    lines = []
    for name in names:
        lines += [
            f"\n### {name}\n",
            "| cell | units | weights | Keras | int8 | int16x8 | int8 file | int8, per step | arena | update |",
            "|---" * 10 + "|",
        ]
        for row in results[name].values():
            cells = [row["cell"], row["units"], f"{row['speed']['weights']:,}"]
            cells += [spread(row, key) for key in ("Keras", *FORMATS)]
            file = row["speed"]["int8"]
            cells += [f"{file['bytes'] / 1000:.1f} kB", f"{file['step_us']:.2f} µs"]
            cells += [f"{file['arena'] / 1000:.1f} kB", f"{row['speed']['update_ms']:.1f} ms"]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def spread(row, key):
    values = [row[f"seed {seed}"][key] for seed in SEEDS]
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f} %"


def write(path, results):
    """Replaces the file at once, so that an interrupted run leaves a whole one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1) + "\n")
    new.replace(path)


if __name__ == "__main__":
    main()
