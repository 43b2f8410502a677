"""The adding problem is the one of the papers, and its measurement runs; errors are for the page."""

import importlib
from pathlib import Path

import numpy as np
import pytest

import keras_vrnn as kv

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.adding_problem")


def test_targets_are_sums_of_the_two_marked_numbers(benchmark):
    x, y = benchmark.sequences(np.random.default_rng(0), 2000, 10)
    numbers, marks = x[..., 0], x[..., 1]
    np.testing.assert_array_equal(marks[:, :5].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, 5:].sum(axis=1), 1)
    np.testing.assert_allclose((numbers * marks).sum(axis=1, keepdims=True), y)
    # The variance of a sum of two numbers from [0, 1) is 1/6; 2,000 of them tell it to 0.005 (one standard error).
    assert abs(np.mean((y - 1) ** 2) - 1 / 6) < 0.015


def test_training_lowers_the_error(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "BATCH", 16)
    assert (
        benchmark.error(lambda: kv.FastRNN(8), 4, 500, seed=0, rate=1e-2) < 0.5 / 6
    )  # half the error of always 1
