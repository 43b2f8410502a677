"""How fast the gradient fades on its way back through time, measured for six recurrences.

python examples/gradient_decay.py                  # table, and out/gradient_decay/gradient_decay.{png,json}
python examples/gradient_decay.py --quick          # 2 trials instead of 20

64 units run for 80 steps without input, from a state h_0 ~ N(0, 1). A random vector takes the place of ∂L/∂h at the
last step. The script measures the norm of the gradient by the state at every step before it, relative to the last. The
networks are untrained: training starts from here.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_vrnn as kv

UNITS, STEPS = 64, 80
gaussian = keras.initializers.RandomNormal(stddev=0.9 / UNITS**0.5)  # spectral radius about 0.9
# Keras starts with a bias of 1 for the forget gate, σ(1) = 0.73; σ(5) = 0.993. Order of the gates: i, f, c, o.
open_f = lambda shape, dtype: np.repeat([0.0, 5.0, 0.0, 0.0], UNITS)  # noqa: E731

RECURRENCES = {
    "tanh, N(0, 0.9²/U)": lambda: kv.VanillaRNN(UNITS, recurrent_initializer=gaussian.clone()),
    "tanh, orthogonal": lambda: kv.VanillaRNN(UNITS, recurrent_initializer="orthogonal"),
    "ReLU, identity": lambda: kv.VanillaRNN(
        UNITS, "relu", recurrent_initializer=kv.initializers.ScaledIdentity()
    ),
    "LSTM": lambda: keras.layers.LSTM(UNITS),
    "LSTM, forget bias 5": lambda: keras.layers.LSTM(UNITS, unit_forget_bias=False, bias_initializer=open_f),
    "GRU": lambda: keras.layers.GRU(UNITS),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/gradient_decay"), help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace the files in --out")
    parser.add_argument("--quick", action="store_true", help="2 trials instead of 20")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    files = [args.out / name for name in ("gradient_decay.png", "gradient_decay.json")]
    try:
        if not args.overwrite and any(path.exists() for path in files):
            raise FileExistsError(
                f"{args.out} holds an earlier run; add --overwrite or choose another --out."
            )
        args.out.mkdir(parents=True, exist_ok=True)
        unfinished = tempfile.TemporaryDirectory(dir=args.out, prefix=".unfinished-")
    except OSError as error:
        sys.exit(f"{Path(__file__).name}: {error}")

    trials = 2 if args.quick else 20
    flows, table = {}, []
    for name, make in RECURRENCES.items():
        flows[name], row = measure(make, trials, args.seed)
        table.append({"recurrence": name, **row})
    with unfinished:
        folder = Path(unfinished.name)
        heading = f"Gradient before training: {UNITS} units, {STEPS} steps, mean of {trials} trials"
        kv.diagnostics.plot_gradient_flow(flows, folder / files[0].name, title=heading)
        settings = {"units": UNITS, "steps": STEPS, "trials": trials, "seed": args.seed}
        (folder / files[1].name).write_text(json.dumps({**settings, "table": table}, indent=2) + "\n")
        for path in files:
            os.replace(folder / path.name, path)
    print_table(table, trials)
    print(f"Picture and numbers: {args.out}")


def measure(make, trials, seed):
    """Returns the mean flow of several random networks, and their row of the table."""
    x, h_0 = keras.Input((STEPS, 1)), keras.Input((UNITS,))
    layer = make()
    states = [h_0, h_0] if isinstance(layer, keras.layers.LSTM) else [h_0]
    model = keras.Model([x, h_0], layer(x, initial_state=states))
    # L = v·h_T, so that ∂L/∂h_T = v: the targets are v. One compiled program for all trials.
    probe = kv.diagnostics.FlowProbe(model, loss=lambda v, h: keras.ops.sum(v * h, axis=-1))
    layers, exponents, bounds = [], [], []
    for trial in range(trials):
        keras.utils.set_random_seed(1000 * seed + trial)
        rng = np.random.default_rng([seed, trial])
        drawn = make()
        drawn.build((None, STEPS, 1))
        layer.set_weights(drawn.get_weights())
        silence, start, v = np.zeros((1, STEPS, 1)), *rng.normal(size=(2, 1, UNITS)).astype("float32")
        flow = probe.measure([silence, start], v)
        layers += flow.layers
        if isinstance(layer, kv.VanillaRNN):
            spectrum = kv.diagnostics.spectrum(layer, silence, initial_state=start)
            exponents.append(spectrum.lyapunov)
            bounds.append(spectrum.bound)
    decays = np.array([one.decay for one in layers])
    row = {
        "mean": decays[:, -1].mean(),
        "median": np.median(decays[:, -1]),
        "rate": np.mean([one.rate for one in layers]),
        "lyapunov_factor": np.exp(np.mean(exponents)) if exponents else None,
        "bound": np.mean(bounds) if bounds else None,
    }
    return dataclasses.replace(flow, layers=(dataclasses.replace(layers[0], decay=decays.mean(axis=0)),)), row


def print_table(table, trials):
    print(f"‖dL/dh_1‖ / ‖dL/dh_{STEPS}‖ of {trials} trials, and the factor per step:")
    print(f"{'':20} {'mean':>9} {'median':>9} {'fitted':>8} {'e^λ':>8} {'γ_W·γ_φ':>8}")
    for row in table:
        theory = [
            "       -" if row[key] is None else f"{row[key]:8.4f}" for key in ("lyapunov_factor", "bound")
        ]
        print(
            f"{row['recurrence']:20} {row['mean']:9.1e} {row['median']:9.1e} {row['rate']:8.4f} {' '.join(theory)}"
        )


if __name__ == "__main__":
    main()
