"""The comparison of cells runs, goes on where it was stopped, and prints a row for each; figures are for its page."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module("benchmarks.choosing_a_cell")
    x = np.random.default_rng(0).normal(size=(60, 4, 3)).astype("float32")
    pairs = (x, np.arange(60) % 2)
    data = benchmark.real_data.DataSet(
        pairs, pairs, pairs, benchmark.real_data._classifier((4, 3), 2), 1, (3, 1)
    )
    monkeypatch.setattr(benchmark.real_data, "DATA_SETS", {"digits": lambda: data})
    monkeypatch.setattr(benchmark, "UNITS", {1: 6})
    monkeypatch.setattr(benchmark, "SEEDS", (0,))
    monkeypatch.setattr(benchmark, "RATES", (1e-3,))
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    monkeypatch.setattr(
        benchmark, "CELLS", {name: benchmark.CELLS[name] for name in ("VanillaRNN, tanh", "GRU")}
    )
    monkeypatch.setattr(benchmark, "GATED", ("GRU",))
    return benchmark


def test_the_page_quotes_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module("benchmarks.choosing_a_cell")
    results = json.loads(benchmark.RESULTS.read_text())
    assert (
        benchmark.tables(results, ["digits", "motion", "stress"])
        in (ROOT / "docs/choosing_a_cell.md").read_text()
    )


def test_a_row_for_each_cell(benchmark, tmp_path, monkeypatch, capsys):
    arguments = ["--data", "digits", "--results", str(tmp_path / "results.json")]
    monkeypatch.setattr(benchmark, "update_time", lambda model, data: 1.5)
    benchmark.main(["accuracy", *arguments])
    benchmark.main(["speed", *arguments])
    results = json.loads((tmp_path / "results.json").read_text())
    assert {row["units"] for row in results["digits"].values()} == {
        6,
        3,
    }  # 3·(3+3+2)·3 = 72 weights beside 60
    monkeypatch.setattr(benchmark, "trained", lambda *_: pytest.fail("trained again"))
    benchmark.main(["accuracy", *arguments])
    capsys.readouterr()
    benchmark.main(["table", *arguments])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split("|")[2].strip() for row in rows] == ["units", "6", "6", "3"]
