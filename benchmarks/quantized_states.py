"""`python -m benchmarks.quantized_states`: the states of quantization-aware models, file, simulation and interpreters.

`VanillaRNN(32)` on the motions of a wrist, T=200, all states of 100 sequences, with random weights and after five
epochs of float training; the quantization-aware model trains for one epoch more. The table of
docs/decisions/quantization_aware.md.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_vrnn as kv
from keras_vrnn.tflite.micro.interpreter import MicroRunner

FORMATS = (("int8", 8), ("int16x8", 8), ("int8", 4))
UNITS, WINDOW, TIMESTEPS, SAMPLES = 32, 50, 200, 100


def data():
    """Returns windows (n, 50, 6) with their labels, and sequences (100, 200, 6), of four people's motions."""
    motions = kv.datasets.watch_motions()
    windows, labels = [], []
    for recording, label, subject in zip(motions.recordings, motions.labels, motions.subjects, strict=True):
        if subject in (1, 2, 3, 4):
            slower = recording[: len(recording) // 4 * 4].reshape(-1, 4, 6).mean(axis=1)
            starts = range(0, len(slower) - WINDOW + 1, WINDOW // 2)
            windows += [slower[start : start + WINDOW] for start in starts]
            labels += [label] * len(starts)
    x = np.stack(windows).astype("float32")
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    sequences = x[: SAMPLES * TIMESTEPS // WINDOW].reshape(-1, TIMESTEPS, x.shape[-1])
    return x, np.array(labels), sequences


def model_of(timesteps, features):
    inputs = keras.Input((timesteps, features))
    return keras.Model(inputs, kv.VanillaRNN(UNITS, return_sequences=True)(inputs))


def weights_of(x, labels, epochs):
    """Returns the weights of the recurrence, initial or after training it as a classifier."""
    recurrent = model_of(*x.shape[1:])
    classes = keras.layers.Dense(int(labels.max()) + 1, activation="softmax")(recurrent.output)
    model = kv.Model(recurrent.input, classes)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", global_clipnorm=1.0)
    if epochs:
        model.fit(x, np.repeat(labels[:, None], x.shape[1], axis=1), epochs=epochs, verbose=0)
    return recurrent.get_weights()


def shares(weights, sequences, quantization, bits, epochs, folder):
    """Returns the shares of states that differ: from TFLite Micro, from `simulate`, and between interpreters."""
    model = model_of(*sequences.shape[1:])
    model.set_weights(weights)
    aware = kv.compression.quantize_aware(
        model, quantization, weight_bits=bits, calibration_data=sequences[:50]
    )
    if epochs:
        aware.compile(keras.optimizers.Adam(1e-4), "mse")
        aware.fit(sequences, model.predict(sequences, verbose=0), epochs=epochs, verbose=0)
    path = Path(folder) / f"{quantization}-{bits}.tflite"
    kv.tflite.export(aware, path, overwrite=True)
    states, micro = aware.predict(sequences, verbose=0), MicroRunner(path)(sequences)
    litert, simulated = kv.tflite.Runner(path)(sequences), kv.tflite.simulate(path, sequences)
    return [float(np.mean(a != b)) for a, b in ((states, micro), (states, simulated), (litert, micro))]


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    x, labels, sequences = data()
    print(
        "| weights | quantization | differ from TFLite Micro | from `simulate` | LiteRT from TFLite Micro |"
    )
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, epochs in (("random", 0), ("trained", 5)):
            keras.utils.set_random_seed(0)
            weights = weights_of(x, labels, epochs)
            for quantization, bits in FORMATS:
                found = shares(weights, sequences, quantization, bits, min(epochs, 1), folder)
                shown = " | ".join(f"{share:.4%}" for share in found)
                print(f"| {name} | {quantization}, {bits}-bit weights | {shown} |", flush=True)


if __name__ == "__main__":
    main()
