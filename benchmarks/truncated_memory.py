"""`python -m benchmarks.truncated_memory`: memory of a training step with truncated BPTT, compared with full BPTT.

Prints how much higher memory peaks in a process that trains on sequences of T steps than in one that uses only 50 of
them. Libraries, tracing, compiling, data and weights cancel; the need of the step itself remains.
"""

import argparse
import json
import subprocess
import sys

BATCH, FEATURES, UNITS, TARGETS = 32, 32, 64, 16


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truncated_memory", description=__doc__)
    parser.add_argument("--steps", type=int, default=4000, help="T, time steps per sequence (default 4000)")
    parser.add_argument("--window", type=int, default=50, help="k of truncate_steps=k (default 50)")
    parser.add_argument("--layers", nargs="+", default=["VanillaRNN", "LSTM"])
    parser.add_argument("--xla", action="store_true", help="compile the step with XLA")
    options = parser.parse_args()
    print(f"Batch {BATCH}, {options.steps} steps, {FEATURES} features, {UNITS} units; XLA: {options.xla}")
    print(f"{'layer':12} {'full BPTT':>12} {f'k = {options.window}':>12} {'share':>7}")
    for layer in options.layers:
        full, truncated = growth(layer, options.steps, options.window, options.xla)
        print(f"{layer:12} {full:8.0f} MiB {truncated:8.0f} MiB {truncated / full:7.1%}", flush=True)


def growth(layer, steps, window, xla=False):
    """Returns the MiB that a step needs for T time steps above one window, with full and with truncated BPTT."""
    full = _peak(layer, steps, steps, None, xla) - _peak(layer, steps, window, None, xla)
    truncated = _peak(layer, steps, steps, window, xla) - _peak(layer, steps, window, window, xla)
    return full, truncated


def _peak(*settings):
    command = [sys.executable, "-c", "from benchmarks import truncated_memory; truncated_memory.child()"]
    run = subprocess.run([*command, json.dumps(settings)], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"The measurement of {settings} failed:\n{run.stderr[-4000:]}")
    return float(run.stdout.splitlines()[-1])


def child():
    import resource

    import keras
    import numpy as np
    import tensorflow as tf

    import keras_vrnn as kv

    layer, length, steps, window, xla = json.loads(sys.argv[1])
    layer = {"VanillaRNN": kv.VanillaRNN, "LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}[layer]
    rng = np.random.default_rng(0)
    # Equally long in every child, so that they cancel; tensors, so that calls do not copy them.
    x = tf.constant(rng.random((BATCH, length, FEATURES), "float32"))
    y = tf.constant(rng.integers(0, TARGETS, (BATCH, length)))
    inputs = keras.Input((None, FEATURES))
    outputs = keras.layers.Dense(TARGETS)(layer(UNITS, return_sequences=True)(inputs))
    model = kv.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, truncate_steps=window, jit_compile=xla)
    for _ in range(2):
        model.train_on_batch(x[:, :steps], y[:, :steps])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
