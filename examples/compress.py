"""Smaller files: a digit recognizer as floats, with pruned weights, and as integers, calibrated or trained as such.

python examples/compress.py     # 5,000 digits of MNIST, three seeds; about ten minutes
"""

import argparse
import json
import os
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

import keras_vrnn as kv

SPARSITY = 0.8
BATCH_SIZE = 64
INTEGERS = {
    "int8": ("int8", 8),
    "int16x8": ("int16x8", 8),
    "int8x4": ("int8", 4),
}  # name -> kind, weight bits


def main(argv=None):
    args = arguments(argv)
    try:
        images, labels = kv.datasets.digits()
        if (path := args.out / "compress.json").exists() and not args.overwrite:
            raise FileExistsError(f"{path} exists; add --overwrite or another --out.")
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    order = np.random.default_rng(0).permutation(len(images))[: 600 if args.quick else None]
    sizes = (300, 100) if args.quick else (3000, 500)
    parts = [(images[part], labels[part]) for part in np.split(order, np.cumsum(sizes))]

    seeds = range(1 if args.quick else 3)
    runs = []
    for seed in seeds:
        runs.append(one_run(seed, parts, args.quick))
        print(f"seed {seed}: " + ", ".join(f"{name} {row['accuracy']:.1%}" for name, row in runs[-1].items()))
    rows = {name: summary([run[name] for run in runs]) for name in runs[0]}
    replace(path, json.dumps({"seeds": len(runs), "test": len(parts[2][0]), "rows": rows}, indent=2))
    print(f"\n{len(parts[2][0]):,} digits held out, {len(runs)} seeds: mean and standard deviation")
    print(f"{'':26} {'accuracy':>13} {'bytes':>8} {'zipped':>8} {'µs a step':>10} {'arena':>8}")
    for name, row in rows.items():
        arena = "" if row["arena"] is None else f"{row['arena']:,.0f}"
        print(
            f"{name:26} {row['accuracy']:6.1%} ± {row['spread']:4.1%} {row['bytes']:8,.0f} {row['zipped']:8,.0f} "
            f"{row['microseconds']:10.2f} {arena:>8}"
        )
    print(f"Table: {path}")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/compress"), help="folder of the table as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
    parser.add_argument(
        "--quick", action="store_true", help="few digits, one seed: a test of the program, not of the models"
    )
    return parser.parse_args(argv)


def one_run(seed, parts, quick):
    """Trains and compresses one model; returns name -> measurements."""
    import keras

    training, validation, _ = parts
    keras.utils.set_random_seed(seed)
    model = kv.many_to_one(64, 10, features=28, timesteps=28)
    fit(model, training, validation, 2e-3, 2 if quick else 40)
    rows = {"float32": measured(model, "float32", parts)}

    updates = -(-len(training[0]) // BATCH_SIZE) * (1 if quick else 10)
    frequency = 1 if quick else 5
    last = updates * 3 // 4 // frequency * frequency
    schedule = kv.compression.PolynomialDecay(0.0, SPARSITY, begin_step=0, end_step=last, frequency=frequency)
    pruned = kv.compression.prune(model, schedule)
    # An early epoch has fewer zeros: the best one is chosen from those after the schedule.
    fit(pruned, training, None, 2e-3, 1 if quick else 10)
    fit(pruned, training, validation, 1e-3, 1 if quick else 20)
    rows[f"{SPARSITY:.0%} zeros, float32"] = measured(pruned, "float32", parts)

    for name, (quantization, bits) in INTEGERS.items():
        rows[f"{name}, calibrated"] = measured(pruned, name, parts)
        aware = kv.compression.quantize_aware(
            pruned, quantization, weight_bits=bits, calibration_data=training[0][:500]
        )
        fit(aware, training, validation, 3e-4 if bits == 4 else 1e-4, 1 if quick else 10)
        rows[f"{name}, trained"] = measured(aware, name, parts)
    return rows


def fit(model, training, validation, rate, epochs):
    """Trains with a learning rate that falls to zero; keeps the best epoch if there are validation data."""
    import keras

    steps = epochs * -(-len(training[0]) // BATCH_SIZE)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], global_clipnorm=1.0)
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    model.fit(
        *training,
        validation_data=validation,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[] if validation is None else [best],
        verbose=0,
    )


def measured(model, quantization, parts):
    """Exports a model; returns the accuracy of the file on the held-out digits, its sizes, time and arena."""
    (x, _), _, (x_test, y_test) = parts
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        # A quantization-aware model has its own formats and needs no data.
        aware = any(hasattr(layer, "signals") for layer in model.layers)
        data = {} if aware or quantization == "float32" else {"calibration_data": x[:500]}
        kv.tflite.export(model, path, quantization=quantization, **data)
        # The integers of TFLite Micro's kernels; LiteRT's own kernels round differently here and there.
        run = kv.tflite.Runner(path) if quantization == "float32" else lambda x: kv.tflite.simulate(path, x)
        speed = kv.tflite.benchmark(path)
        return {
            "accuracy": float((run(x_test).argmax(axis=-1) == y_test).mean()),
            "bytes": path.stat().st_size,
            "zipped": len(zlib.compress(path.read_bytes(), 9)),
            "microseconds": speed.step_us["p50"],
            "arena": None if speed.arena is None else speed.arena.smallest,
        }


def summary(rows):
    """Returns the means over the seeds, and the standard deviation of the accuracy as "spread"."""
    made = {
        name: None if rows[0][name] is None else float(np.mean([row[name] for row in rows]))
        for name in rows[0]
    }
    return made | {"spread": float(np.std([row["accuracy"] for row in rows]))}


def replace(path, content):
    """Writes a file under a temporary name first."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, path)


if __name__ == "__main__":
    main()
