"""`python -m benchmarks.initializers`: what the initial weights of a vanilla RNN decide, before and after training.

Before: the gradient 10, 100 and 399 steps back, relative to the last step, and the largest |h|; 64 units, 400 steps of
8 normal features of standard deviation 0.3, the median of 5 seeds.

After: test accuracy on the 1,797 digits of scikit-learn, 8×8 pixels read one by one, 64 steps of a number in [0, 1];
1,437 to train on, 360 to test on; 64 units, Adam, batch 32, global_clipnorm=1; the median of 3 seeds, and their range.
"""

import argparse
import statistics

import keras
import numpy as np

import keras_vrnn as kv

UNITS = 64
BACK = (10, 100, 399)
LEARNING_RATES = (1e-3, 3e-4)

IDENTITY = ("`ScaledIdentity(1.0)`", lambda: kv.initializers.ScaledIdentity(1.0))
ORTHOGONAL = ("`orthogonal` (default)", lambda: "orthogonal")
GLOROT = ("`glorot_uniform`", lambda: "glorot_uniform")
DEFAULT = ("`glorot_uniform` (default)", lambda: "glorot_uniform")


def radius(value):
    return f"`SpectralRadius({value})`", lambda: kv.initializers.SpectralRadius(value)


def normal(stddev):
    return f"N(0, {stddev}²)", lambda: keras.initializers.RandomNormal(stddev=stddev)


# φ and recurrent kernel.
BEFORE = (
    ("tanh", ORTHOGONAL),
    ("tanh", GLOROT),
    ("tanh", radius(0.95)),
    ("tanh", radius(1.2)),
    ("tanh", IDENTITY),
    ("relu", ORTHOGONAL),
    ("relu", IDENTITY),
    ("relu", ("`ScaledIdentity(0.5)`", lambda: kv.initializers.ScaledIdentity(0.5))),
)
# φ, recurrent kernel and input kernel.
AFTER = (
    ("tanh", ORTHOGONAL, DEFAULT),
    ("tanh", ORTHOGONAL, normal(1.0)),
    ("tanh", ORTHOGONAL, normal(0.001)),
    ("tanh", GLOROT, DEFAULT),
    ("tanh", radius(1.2), DEFAULT),
    ("tanh", IDENTITY, DEFAULT),
    ("relu", ORTHOGONAL, DEFAULT),
    ("relu", IDENTITY, normal(1.0)),
    ("relu", IDENTITY, normal(0.3)),
    ("relu", IDENTITY, DEFAULT),
    ("relu", IDENTITY, normal(0.01)),
    ("relu", IDENTITY, normal(0.001)),
)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch: whether it works")
    options = parser.parse_args(arguments)
    _table(["φ", "recurrent kernel", *(f"{back} back" for back in BACK), "largest abs h"])
    for activation, (name, recurrent) in BEFORE:
        seeds = range(1 if options.quick else 5)
        found = np.median([reach(activation, recurrent(), seed) for seed in seeds], axis=0)
        _row([activation, name, *(f"{value:.0e}" for value in found[:-1]), f"{found[-1]:.1f}"])
    data = digits()
    print()
    _table(["φ", "recurrent kernel", "input kernel", *(f"Adam({rate:g})" for rate in LEARNING_RATES)])
    for activation, (name, recurrent), (kernel_name, kernel) in AFTER:
        columns = []
        for rate in LEARNING_RATES:
            epochs, seeds = (1, 1) if options.quick else (options.epochs, 3)
            found = [
                accuracy(activation, recurrent(), kernel(), rate, seed, epochs, data) for seed in range(seeds)
            ]
            columns.append(f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})")
        _row([activation, name, kernel_name, *columns])


def reach(activation, recurrent, seed):
    """The gradient k steps back, for the k of BACK, and the largest |h|."""
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(seed).normal(scale=0.3, size=(8, max(BACK) + 1, 8)).astype("float32")
    layer = kv.VanillaRNN(UNITS, activation, recurrent_initializer=recurrent, return_sequences=True)
    inputs = keras.Input(x.shape[1:])
    states = layer(inputs)
    # A random direction at the last step.
    model = keras.Model(inputs, keras.layers.Dense(1)(states[:, -1]))
    flow = kv.diagnostics.gradient_flow(model, x, np.zeros((8, 1)), loss=lambda y, p: p)
    largest = float(abs(keras.ops.convert_to_numpy(layer(x))).max())
    return [flow.layers[0].decay[back] for back in BACK] + [largest]


def digits():
    """((x, y) to train on, (x, y) to test on)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    x = (found.data[order, :, None] / 16).astype("float32")
    y = found.target[order]
    return (x[:-360], y[:-360]), (x[-360:], y[-360:])


def accuracy(activation, recurrent, kernel, rate, seed, epochs, data):
    """Test accuracy of one trained network."""
    keras.utils.set_random_seed(seed)
    model = kv.Sequential(
        [
            keras.Input((64, 1)),
            kv.VanillaRNN(UNITS, activation, recurrent_initializer=recurrent, kernel_initializer=kernel),
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


def _table(header):
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")


def _row(cells):
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
