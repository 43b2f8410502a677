"""`python -m benchmarks.input_product`: time and memory of x·W_x computed before an exported loop or inside it.

Measured for layers that return the last output: µs per step on LiteRT, one thread, and bytes of TFLite Micro's arena
(extra `micro`).
"""

import contextlib
import io
import pathlib
import tempfile
from unittest import mock

import numpy as np

CASES = (
    (32, 16, 32, "int8"),
    (100, 10, 64, "int8"),
    (100, 10, 64, "int16x8"),
    (500, 4, 32, "int8"),
    (100, 64, 32, "int8"),
    (100, 10, 64, "float32"),
    (500, 4, 32, "float32"),
    (100, 10, 64, "float16"),
    (100, 10, 64, "dynamic"),
)
TURNS = 5


def main():
    print("| T, F, U | | before: µs | arena | inside: µs | arena |\n|---|---|---|---|---|---|")
    for time, features, units, quantization in CASES:
        # Alternate, and take the fastest: some loads of the same file run at half the speed.
        turns = [
            [measure(time, features, units, quantization, inside) for inside in (False, True)]
            for _ in range(TURNS)
        ]
        row = []
        for form in zip(*turns, strict=True):
            arena = form[0].arena
            row += [
                f"{min(bench.step_us['p50'] for bench in form):.2f}",
                f"{arena.total:,}" if arena else "–",
            ]
        row = " | ".join(row)
        print(f"| {time}, {features}, {units} | {quantization} | {row} |", flush=True)


def measure(time, features, units, quantization, inside):
    """Returns the `Benchmark` of one recurrence, with its input product inside the loop or before it."""
    import keras

    import keras_vrnn as kv
    from keras_vrnn.tflite.exporting.recurrences.vanilla import Vanilla

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((time, features)), kv.VanillaRNN(units)])
    x = np.random.default_rng(0).normal(size=(20, time, features)).astype("float32")
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),  # the converter prints what it does
        mock.patch.object(Vanilla, "multiply_inside", return_value=inside),
    ):
        path = pathlib.Path(folder, "model.tflite")
        kv.tflite.export(model, path, quantization=quantization, calibration_data=x)
        return kv.tflite.benchmark(path, runs=200)


if __name__ == "__main__":
    main()
