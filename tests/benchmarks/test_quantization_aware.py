"""The measurement of quantization-aware training runs; how long a step takes is for its table."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


def test_a_time_for_each_model(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module("benchmarks.quantization_aware")
    monkeypatch.setattr(benchmark, "QUANTIZATIONS", ("int8",))
    times = benchmark.medians(2, 3, 4, 5, epochs=1, steps=2)
    assert len(times) == 2
    assert all(seconds > 0 for seconds in times)
