"""Layers on the native kernel against the float64 oracle, on both backends that have it."""

import keras
import numpy as np
import pytest
from oracle_errors import BASE, EVERYTHING, errors_against_oracle

from keras_vrnn.layers import native_path

pytestmark = pytest.mark.usefixtures("native_on")


def configuration(rng, seed):
    flags = {name: bool(rng.integers(2)) for name, value in BASE.items() if isinstance(value, bool)}
    sizes = {name: int(rng.integers(1, 20)) for name in ("batch", "time", "features", "units")}
    return {**sizes, **flags, "activation": ["tanh", "relu", "sigmoid", "linear"][seed % 4], "seed": seed}


def check(seeds, monkeypatch):
    used, original = [], native_path.over_time
    monkeypatch.setattr(native_path, "over_time", lambda *a, **k: used.append(seed) or original(*a, **k))
    wrong = []
    for seed in seeds:
        chosen = configuration(np.random.default_rng(seed), seed)
        errors = errors_against_oracle(chosen, "float32")
        # The loss is a float32 sum of up to 7,600 products that cancel, whoever computes the states.
        loss = errors.pop("loss")
        # float32 rounding (6e-8) of sums of up to 40 terms, carried over up to 19 steps; relu and linear may grow.
        if not (max(errors.values()) < 3e-5 and loss < 3e-4):
            wrong.append((chosen, errors))
    assert set(used) == set(seeds)
    assert not wrong, wrong[:3]


def test_layers_equal_the_oracle(monkeypatch):
    check(range(50), monkeypatch)


@pytest.mark.slow
def test_many_layers_equal_the_oracle(monkeypatch):
    # On JAX, 250: it compiles several programs for each, which takes two seconds.
    check(range(50, 1050 if keras.backend.backend() == "tensorflow" else 300), monkeypatch)


def test_everything_at_once_equals_the_oracle():
    assert max(errors_against_oracle(EVERYTHING, "float32").values()) < 1e-5  # as in test_recurrence
