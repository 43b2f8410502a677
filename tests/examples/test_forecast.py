"""examples/forecast.py as a user runs it, at small size; its windows and targets against loops."""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from example_runs import run_example

EXAMPLE = Path(__file__).parents[2] / "examples" / "forecast.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="runs in the checkout only")

run = functools.partial(run_example, "forecast.py")


@pytest.fixture(scope="module")
def forecast():
    spec = importlib.util.spec_from_file_location("forecast", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_values_ahead_of_each_time(forecast):
    values = np.arange(200.0)
    found = forecast.ahead(values)
    assert found.shape == (200 - 48, 48)
    for t in (0, 17, 151):
        np.testing.assert_array_equal(found[t], values[t + 1 : t + 49])


def test_inputs_know_nothing_of_later_weeks(forecast):
    demand = np.random.default_rng(0).normal(30000, 5000, 12 * 336).astype(np.float32)
    changed = demand.copy()
    changed[10 * 336 :] *= 2
    (before, scale), (after, other) = forecast.prepared(demand), forecast.prepared(changed)
    assert scale == other
    np.testing.assert_array_equal(before[: 10 * 336], after[: 10 * 336])
    assert before[336:3024, 0].std() == pytest.approx(1, abs=1e-5)  # float32 sums


@pytest.mark.slow
def test_it_trains_streams_and_compares(tmp_path):
    pytest.importorskip("pmdarima")
    done = run("--quick", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    table = {line[:16].strip(): line[16:].split() for line in done.stdout.splitlines()}
    errors = {
        name: float(table[name][-1]) for name in ("as now", "as a week ago", "Keras", "int8, streaming")
    }
    assert errors["as a week ago"] < errors["as now"]
    # Integers, and a state that is never reset, cost less than a tenth.
    assert errors["int8, streaming"] == pytest.approx(errors["Keras"], rel=0.1)
    again = run("--quick", "--out", tmp_path / "out")
    assert again.returncode == 1
    assert "exists; add --overwrite or another --out" in again.stderr
