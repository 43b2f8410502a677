"""How far back the gradient of an untrained recurrence reaches: the norms of the product of Jacobians by distance."""

import pathlib
import sys

import keras_vrnn as kv
from benchmarks.evidence.experiment import Experiment, Table
from keras_vrnn import _pictures

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

BACK = (10, 20, 40, 79)
TRIALS = 20


def _recurrences():
    import gradient_decay as example

    glorot = lambda: kv.VanillaRNN(example.UNITS, recurrent_initializer="glorot_uniform")  # noqa: E731
    return {"tanh, Glorot": glorot, **example.RECURRENCES}


def parts(quick):
    names = ("tanh, Glorot",) if quick else _recurrences()
    return {name: (name,) for name in names}


def measure(name, *, seed, quick):
    import gradient_decay as example

    flow, row = example.measure(_recurrences()[name], 2 if quick else TRIALS, seed)
    layer = flow.layers[0]
    return {
        "decay": [float(value) for value in layer.decay],
        "horizon": layer.horizon,
        "rate": float(row["rate"]),
        "bound": None if row["bound"] is None else float(row["bound"]),
    }


def tables(figures):
    rows = []
    for name in _recurrences():
        found = figures.get(name, {}).get("0")
        if found is None:
            rows.append([name, *["missing"] * (len(BACK) + 3)])
            continue
        horizon = (
            found["horizon"] if found["horizon"] < len(found["decay"]) else f"over {len(found['decay']) - 1}"
        )
        rows.append(
            [
                name,
                *(f"{found['decay'][back]:.1e}" for back in BACK),
                str(horizon),
                f"{found['rate']:.3f}",
                "" if found["bound"] is None else f"{found['bound']:.3f}",
            ]
        )
    head = [
        "recurrence",
        *(f"{back} back" for back in BACK),
        "steps to 1 %",
        "factor per step",
        "bound γ_W·γ_φ",
    ]
    yield Table(head, rows, f"Gradient relative to the last step, mean of {TRIALS} networks.")


def draw(figures, figure):
    axis = figure.subplots()
    for color, name in zip(_pictures.COLORS, _recurrences(), strict=False):
        if name in figures:
            axis.plot(figures[name]["0"]["decay"], color=color, label=name)
    axis.axhline(0.01, color="0.15", linestyle="--", linewidth=1)
    axis.set_yscale("log")
    axis.set_xlabel("steps back")
    axis.set_ylabel("gradient, relative to the last step")
    _pictures.style(axis)
    _pictures.legend_beside(axis)


EXPERIMENT = Experiment(
    name="gradient_decay",
    title="Gradient decay",
    claim="ReLU with an identity kernel keeps the gradient, tanh with an orthogonal kernel most of it over 40 steps.",
    setting=(
        "64 units, 80 steps without input from a state h_0 ~ N(0, 1), before training: `examples/gradient_decay.py`, "
        "and a Glorot kernel beside its recurrences."
    ),
    published=(
        (
            "The gradient must vanish if the largest singular value of W_h is below 1/γ_φ, and may explode if it is "
            "above",
            "Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 2.1",
        ),
    ),
    parts=parts,
    measure=measure,
    tables=tables,
    draw=draw,
    seeds=(0,),
)
