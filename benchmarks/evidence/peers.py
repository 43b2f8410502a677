"""Speed and size: copied from the measurements that have a command of their own, because they take hours."""

import json
import pathlib

from benchmarks import choosing_a_cell
from benchmarks.evidence.experiment import Experiment, Table

SPEED = pathlib.Path(__file__).parents[1] / "results" / "latest.json"
DATA = ("digits", "motion", "stress")


def measure(what, *, seed, quick):
    if what == "speed":
        result = json.loads(SPEED.read_text(encoding="utf-8"))
        bars = [
            {
                "title": bar["title"],
                "mean": bar["geometric_mean"],
                "ratios": [case["ratio"] for case in bar["cases"]],
            }
            for bar in result["bars"]
        ]
        return {"date": result["date"], "versions": result["machine"]["versions"], "bars": bars}
    results = json.loads(choosing_a_cell.RESULTS.read_text(encoding="utf-8"))
    return {name: [_row(row) for row in results[name].values()] for name in DATA}


def _row(row):
    file = row["speed"]["int8"]
    return [
        row["cell"],
        str(row["units"]),
        f"{row['speed']['weights']:,}",
        *(choosing_a_cell.spread(row, key) for key in ("Keras", "int8")),
        f"{file['bytes'] / 1000:.1f} kB",
        f"{file['step_us']:.2f} µs",
    ]


def tables(figures):
    if speed := figures.get("speed", {}).get("0"):
        rows = [
            [bar["title"], f"{bar['mean']:.2f}", f"{min(bar['ratios']):.2f} to {max(bar['ratios']):.2f}"]
            for bar in speed["bars"]
        ]
        versions = speed["versions"]
        peers = ", ".join(
            f"{name} {versions[name]}" for name in ("keras", "jax", "torch") if name in versions
        )
        yield Table(
            ["ratio", "geometric mean", "by case"],
            rows,
            f"How many times as fast, and the share of memory: `python -m benchmarks` of {speed['date']}; {peers}.",
        )
    if cells := figures.get("cells", {}).get("0"):
        head = ["cell", "units", "weights", "accuracy, Keras", "int8", "int8 file", "per step"]
        for name in DATA:
            yield Table(head, cells[name], f"`python -m benchmarks.choosing_a_cell`, {name}.")


EXPERIMENT = Experiment(
    name="peers",
    title="Speed and size",
    claim="On average, a train step is faster than Keras' and PyTorch's; a vanilla RNN is the smallest and fastest of "
    "the cells.",
    setting="Copied from `benchmarks/results/`, where each file names its machine.",
    parts=lambda quick: {"speed": ("speed",), "cells": ("cells",)},
    measure=measure,
    tables=tables,
    seeds=(0,),
)
