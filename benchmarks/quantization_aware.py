"""`python -m benchmarks.quantization_aware`: a training step of a quantization-aware model against the float step.

A VanillaRNN that returns sequences, and a Dense layer; `fit` of `kv.Model` with Adam, global_clipnorm=1 and XLA.
Epochs of the models alternate in one process; the median per step of each, and their ratio.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_vrnn as kv

# Batch, time steps, features, units.
SHAPES = ((32, 32, 16, 32), (32, 96, 32, 64), (64, 96, 64, 128))
QUANTIZATIONS = ("int8", "int16x8")
OUTPUTS = 4


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantization_aware", description=__doc__)
    parser.add_argument("--epochs", type=int, default=9, help="measured epochs of each model (default 9)")
    parser.add_argument("--steps", type=int, default=16, help="training steps per epoch (default 16)")
    options = parser.parse_args()
    print(
        "| batch | steps | features | units | float, ms | "
        + " | ".join(f"{q} | ratio" for q in QUANTIZATIONS)
    )
    print("|---" * (5 + 2 * len(QUANTIZATIONS)) + "|")
    for shape in SHAPES:
        plain, *others = medians(*shape, options.epochs, options.steps)
        cells = [*map(str, shape), f"{1e3 * plain:.2f}"]
        cells += [f"{1e3 * other:.2f} | {other / plain:.2f}" for other in others]
        print("| " + " | ".join(cells) + " |", flush=True)


def medians(batch, timesteps, features, units, epochs, steps):
    """Returns seconds per step of the float model and of each quantization."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * steps, timesteps, features)).astype("float32")
    y = rng.normal(size=(batch * steps, timesteps, OUTPUTS)).astype("float32")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((timesteps, features))
    h = kv.VanillaRNN(units, return_sequences=True)(inputs)
    plain = kv.Model(inputs, keras.layers.Dense(OUTPUTS)(h))
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
