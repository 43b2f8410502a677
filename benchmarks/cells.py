"""`python -m benchmarks.cells`: time per step of exported GRU and LSTM layers, beside a vanilla RNN.

One layer that returns its last state, T = 100, 16 features, LiteRT with one thread; the shortest of many invokes.
"stock" is TensorFlow's own converter. The last column is the int8 file's time divided by that of the vanilla int8 file.
"""

import argparse
import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_vrnn as kv

TIMESTEPS, FEATURES = 100, 16
CELLS = {
    "VanillaRNN": kv.VanillaRNN,
    "FastRNN": kv.FastRNN,
    "GRU": layers.GRU,
    "GRU, reset_after=False": lambda units, **options: layers.GRU(units, reset_after=False, **options),
    "LSTM": layers.LSTM,
}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells", description=__doc__)
    parser.add_argument("--units", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--sequences", action="store_true", help="return all states")
    parser.add_argument("--invokes", type=int, default=30, help="measured invokes of each file (default 30)")
    options = parser.parse_args()
    print("| units | cell | int8, µs | int16x8, µs | float32, µs | stock float32, µs | int8 / vanilla int8 |")
    print("|---" * 7 + "|")
    for units in options.units:
        vanilla = None
        for name, kind in CELLS.items():
            *ours, stock = times(kind, units, options.sequences, options.invokes)
            vanilla = ours[0] if vanilla is None else vanilla
            cells = [f"{each:.2f}" for each in (*ours, stock)]
            print(f"| {units} | {name} | {' | '.join(cells)} | {ours[0] / vanilla:.2f} |", flush=True)


def times(kind, units, sequences, invokes):
    """Returns µs per step of the int8, int16x8 and float32 file, and of the stock converter's float32 file."""
    x = np.random.default_rng(0).normal(size=(20, TIMESTEPS, FEATURES)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(1, TIMESTEPS, FEATURES), name="x"),
            kind(units, return_sequences=sequences),
        ]
    )
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for quantization in ("int8", "int16x8", "float32"):
            path = pathlib.Path(folder) / quantization
            kv.tflite.export(model, path, quantization=quantization, calibration_data=x)
            made.append(step_time(path.read_bytes(), invokes))
    stock = tf.lite.TFLiteConverter.from_keras_model(keras_layer(kind, model)).convert()
    return *made, step_time(stock, invokes)


def keras_layer(kind, model):
    """Returns the model for the stock converter, which does not take our loops: a SimpleRNN instead."""
    if kind not in (kv.VanillaRNN, kv.FastRNN):
        return model
    config = model.layers[-1]
    other = keras.Sequential(
        [
            keras.Input(batch_shape=model.input_shape, name="x"),
            layers.SimpleRNN(config.units, return_sequences=config.return_sequences),
        ]
    )
    other.set_weights(model.get_weights()[:3])
    return other


def step_time(content, invokes):
    """Returns the shortest time of an invoke divided by the number of steps, in µs."""
    interpreter = Interpreter(model_content=bytes(content), num_threads=1)
    interpreter.allocate_tensors()
    (detail,) = interpreter.get_input_details()
    interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    shortest = np.inf
    for _ in range(invokes):
        start = time.perf_counter()
        interpreter.invoke()
        shortest = min(shortest, time.perf_counter() - start)
    return 1e6 * shortest / TIMESTEPS


if __name__ == "__main__":
    main()
