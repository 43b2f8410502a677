"""`python -m benchmarks.initializers`: what the initial weights of a vanilla RNN decide on 8×8 digits.

1,797 digits of scikit-learn, read pixel by pixel: 64 steps of one number in [0, 1]; 1,437 to train on, 360 to test on.
64 units, Adam, batch 32, global_clipnorm=1. Prints the test accuracy after the last epoch per initialization and
learning rate: the median of the seeds, and their range.
"""

import argparse
import statistics

UNITS = 64
LEARNING_RATES = (1e-3, 3e-4)


def cases():
    """(φ, recurrent initializer, its name, initializer of the input kernel, its name)."""
    import keras

    import keras_vrnn as kv

    def normal(stddev):
        return keras.initializers.RandomNormal(stddev=stddev)

    identity = kv.initializers.ScaledIdentity(1.0)
    radius = kv.initializers.SpectralRadius(1.2)
    default = "glorot_uniform"
    return (
        ("tanh", "orthogonal", "`orthogonal`", default, "default"),
        ("tanh", "glorot_uniform", "`glorot_uniform`", default, "default"),
        ("tanh", radius, "`SpectralRadius(1.2)`", default, "default"),
        ("tanh", identity, "`ScaledIdentity(1.0)`", default, "default"),
        ("relu", "orthogonal", "`orthogonal`", default, "default"),
        ("relu", identity, "`ScaledIdentity(1.0)`", default, "default"),
        ("relu", identity, "`ScaledIdentity(1.0)`", normal(1.0), "N(0, 1²)"),
        ("relu", identity, "`ScaledIdentity(1.0)`", normal(0.3), "N(0, 0.3²)"),
        ("relu", identity, "`ScaledIdentity(1.0)`", normal(0.03), "N(0, 0.03²)"),
        ("relu", identity, "`ScaledIdentity(1.0)`", normal(0.01), "N(0, 0.01²)"),
        ("relu", identity, "`ScaledIdentity(1.0)`", normal(0.001), "N(0, 0.001²)"),
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch: whether it works")
    options = parser.parse_args(arguments)
    epochs, seeds = (1, 1) if options.quick else (options.epochs, options.seeds)
    data = digits()
    print(
        "| φ | recurrent kernel | input kernel |", *(f" Adam({rate:g}) |" for rate in LEARNING_RATES), sep=""
    )
    print("|---|---|---|" + "---|" * len(LEARNING_RATES))
    for case in cases():
        activation, _, recurrent, _, kernel = case
        columns = [
            _spread([accuracy(case, rate, seed, epochs, data) for seed in range(seeds)])
            for rate in LEARNING_RATES
        ]
        print(
            f"| {activation} | {recurrent} | {kernel} |",
            *(f" {column} |" for column in columns),
            sep="",
            flush=True,
        )


def digits():
    """((x, y) to train on, (x, y) to test on)."""
    import numpy as np
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    x = (found.data[order, :, None] / 16).astype("float32")
    y = found.target[order]
    return (x[:-360], y[:-360]), (x[-360:], y[-360:])


def accuracy(case, rate, seed, epochs, data):
    """Test accuracy of one trained network."""
    import keras

    import keras_vrnn as kv

    activation, recurrent, _, kernel, _ = case
    keras.utils.set_random_seed(seed)
    cloned = [one if isinstance(one, str) else one.clone() for one in (recurrent, kernel)]
    model = kv.Sequential(
        [
            keras.Input((64, 1)),
            kv.VanillaRNN(UNITS, activation, recurrent_initializer=cloned[0], kernel_initializer=cloned[1]),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        global_clipnorm=1.0,
    )
    train, test = data
    model.fit(*train, batch_size=32, epochs=epochs, verbose=0)
    found = model.evaluate(*test, batch_size=360, verbose=0, return_dict=True)["accuracy"]
    keras.backend.clear_session()
    return found


def _spread(accuracies):
    return f"{statistics.median(accuracies):.2f} ({min(accuracies):.2f} to {max(accuracies):.2f})"


if __name__ == "__main__":
    main()
