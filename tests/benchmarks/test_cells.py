"""The measurement of gated cells runs; how long a step takes is for its table."""

import importlib
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


def test_a_time_for_each_file(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module("benchmarks.cells")
    monkeypatch.setattr(benchmark, "TIMESTEPS", 3)
    found = benchmark.times(keras.layers.GRU, 4, sequences=False, invokes=1)
    assert len(found) == 4
    assert all(each > 0 for each in found)
