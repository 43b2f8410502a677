"""`python -m benchmarks.quantized_accuracy [--cell gru] [data set ...]`: accuracy of integers, calibrated and trained.

A vanilla RNN, or another --cell, of 64 units on "digits", 48 on "motion" and 48 in each direction on "stress"
(`real_data.py`). Each is trained with three seeds. Everything that is fine-tuned, the float model too, gets 5 epochs of
Adam at a tenth of the learning rate, and keeps the epoch with the least validation loss. A quantization-aware model is
as accurate as its file: both compute the same integers. Needs the extra `examples`.
"""

import argparse
import functools
import pathlib
import tempfile

import keras
import numpy as np

import keras_vrnn as kv
from benchmarks.real_data import DATA_SETS, accuracy, fit

CELLS = {"vanilla": kv.VanillaRNN, "fast": kv.FastRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
UNITS = {"digits": 64, "motion": 48, "stress": 48}
SEEDS = (0, 1, 2)
RATE, FINE_TUNING, EPOCHS = 2e-3, 2e-4, 5
KINDS = {"int8": 8, "int8x4": 4}  # name -> bits of a weight


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantized_accuracy", description=__doc__)
    parser.add_argument("data", nargs="*", metavar="data set", help=", ".join(DATA_SETS))
    parser.add_argument("--cell", choices=CELLS, default="vanilla")
    options = parser.parse_args(argv)
    names = [
        "float",
        "float, fine-tuned",
        *(f"{kind}, {how}" for kind in KINDS for how in ("calibrated", "trained")),
    ]
    print("| data | " + " | ".join(names) + " |")
    print("|---" * (1 + len(names)) + "|")
    for name in options.data or DATA_SETS:
        data = DATA_SETS[name]()
        rows = [measured(seed, data, functools.partial(CELLS[options.cell], UNITS[name])) for seed in SEEDS]
        means, deviations = np.mean(rows, axis=0), np.std(rows, axis=0)
        cells = [f"{100 * m:.1f} ± {100 * d:.1f} %" for m, d in zip(means, deviations, strict=True)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def measured(seed, data, layer):
    """Returns the accuracies of one seed, in the order of the table."""
    x, y = data.test
    keras.utils.set_random_seed(seed)
    model = data.build(layer)
    fit(model, data, RATE, data.epochs)
    made = [accuracy(model.predict(x, verbose=0), y)]
    weights = model.get_weights()
    fit(model, data, FINE_TUNING, EPOCHS)
    made.append(accuracy(model.predict(x, verbose=0), y))
    model.set_weights(weights)
    calibration = data.training[0][:500]
    for kind, bits in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.tflite"
            kv.tflite.export(model, path, quantization=kind, calibration_data=calibration)
            made.append(accuracy(kv.tflite.simulate(path, x), y))
        aware = kv.compression.quantize_aware(model, "int8", weight_bits=bits, calibration_data=calibration)
        fit(aware, data, FINE_TUNING, EPOCHS)
        made.append(accuracy(aware.predict(x, verbose=0), y))
    return made


if __name__ == "__main__":
    main()
