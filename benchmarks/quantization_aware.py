"""`python -m benchmarks.quantization_aware`: a training step of a quantization-aware model against the float step.

A VanillaRNN, or another --cell, that returns sequences, and a Dense layer; `fit` of `kv.Model` with Adam,
global_clipnorm=1 and XLA. Epochs of the models alternate in one process; the median per step of each, and their ratio.
With --memory: what a step takes at its peak for 400 more time steps, each model in a process of its own.
"""

import argparse
import statistics
import subprocess
import sys
import time

import keras
import numpy as np

import keras_vrnn as kv
from benchmarks.memory import peak_above_now

# Batch, time steps, features, units.
SHAPES = ((32, 32, 16, 32), (32, 96, 32, 64), (64, 96, 64, 128))
QUANTIZATIONS = ("int8", "int16x8")
CELLS = {"vanilla": kv.VanillaRNN, "fast": kv.FastRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
OUTPUTS = 4


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantization_aware", description=__doc__)
    parser.add_argument("--epochs", type=int, default=9, help="measured epochs of each model (default 9)")
    parser.add_argument("--steps", type=int, default=16, help="training steps per epoch (default 16)")
    parser.add_argument("--cell", choices=CELLS, default="vanilla")
    every = [units for *_, units in SHAPES]
    parser.add_argument(
        "--units", type=int, nargs="+", choices=every, default=every, help="shapes to measure"
    )
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--peak", nargs=2, metavar=("MODEL", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak[0], int(options.peak[1]), CELLS[options.cell]))
        return
    if options.memory:
        table_of_memory(options.cell)
        return
    print(
        "| batch | steps | features | units | float, ms | "
        + " | ".join(f"{q} | ratio" for q in QUANTIZATIONS)
    )
    print("|---" * (5 + 2 * len(QUANTIZATIONS)) + "|")
    for shape in (shape for shape in SHAPES if shape[-1] in options.units):
        plain, *others = medians(*shape, options.epochs, options.steps, CELLS[options.cell])
        cells = [*map(str, shape), f"{1e3 * plain:.2f}"]
        cells += [f"{1e3 * other:.2f} | {other / plain:.2f}" for other in others]
        print("| " + " | ".join(cells) + " |", flush=True)


def table_of_memory(cell):
    """Prints how much more memory a step takes with 500 time steps than with 100, and the ratio to the float model."""
    print("| batch | features | units | model | MiB | ratio |\n|---|---|---|---|---|---|")
    batch, _, features, units = SHAPES[-1]
    growth = {}
    for name in ("float32", *QUANTIZATIONS):
        long, short = (_peak_of_a_process(cell, name, timesteps) for timesteps in (500, 100))
        growth[name] = long - short
        ratio = growth[name] / growth["float32"]
        print(f"| {batch} | {features} | {units} | {name} | {growth[name]:.0f} | {ratio:.2f} |", flush=True)


def _peak_of_a_process(cell, name, timesteps):
    command = [sys.executable, "-m", "benchmarks.quantization_aware", "--cell", cell]
    command += ["--peak", name, str(timesteps)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def peak(name, timesteps, layer):
    """Returns the MiB that training takes at its peak above what the process held before."""
    batch, _, features, units = SHAPES[-1]
    model, *data = built(batch, timesteps, features, units, 2, layer)
    if name != "float32":
        model = kv.compression.quantize_aware(model, name, calibration_data=data[0][:8])
    model.compile("adam", "mse", global_clipnorm=1.0, jit_compile=True)
    model.fit(*(array[:2] for array in data), batch_size=2, verbose=0)
    return peak_above_now(lambda: model.fit(*data, batch_size=batch, epochs=2, verbose=0))


def built(batch, timesteps, features, units, steps, layer=kv.VanillaRNN):
    """Returns the float model, and inputs and targets for a number of steps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * steps, timesteps, features)).astype("float32")
    y = rng.normal(size=(batch * steps, timesteps, OUTPUTS)).astype("float32")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((timesteps, features))
    h = layer(units, return_sequences=True)(inputs)
    return kv.Model(inputs, keras.layers.Dense(OUTPUTS)(h)), x, y


def medians(batch, timesteps, features, units, epochs, steps, layer=kv.VanillaRNN):
    """Returns seconds per step of the float model and of each quantization."""
    plain, x, y = built(batch, timesteps, features, units, steps, layer)
    models = [plain]
    for quantization in QUANTIZATIONS:
        models.append(kv.compression.quantize_aware(plain, quantization, calibration_data=x[:batch]))
    for model in models:
        model.compile("adam", "mse", global_clipnorm=1.0, jit_compile=True)
        model.fit(x, y, batch_size=batch, verbose=0)  # compiles
    seconds = [[] for _ in models]
    for _ in range(epochs):
        for model, taken in zip(models, seconds, strict=True):
            start = time.perf_counter()
            model.fit(x, y, batch_size=batch, verbose=0)
            taken.append((time.perf_counter() - start) / steps)
    return [statistics.median(taken) for taken in seconds]


if __name__ == "__main__":
    main()
