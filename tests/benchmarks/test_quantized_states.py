"""The measurement of quantized states runs, and finds none that differs; the shares are for its table."""

import importlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


@pytest.mark.parametrize("epochs", [0, 1])
def test_states_equal_those_of_the_file(epochs, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module("benchmarks.quantized_states")
    monkeypatch.setattr(benchmark, "UNITS", 3)
    x = np.random.default_rng(0).normal(size=(8, 6, 2)).astype("float32")
    weights = benchmark.weights_of(x, np.arange(8) % 2, epochs)
    assert benchmark.shares(weights, x, "int8", 8, epochs, tmp_path)[:2] == [0, 0]
