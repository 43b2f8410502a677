"""examples/gradient_decay.py as a user runs it: in a process of its own, with two trials."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from example_runs import run_example

EXAMPLE = Path(__file__).parents[2] / "examples" / "gradient_decay.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="runs in the checkout only")
pytest.importorskip("matplotlib")


run = functools.partial(run_example, "gradient_decay.py")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("gradient_decay") / "new" / "folder"
    done = run("--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.mark.slow
def test_picture_table_and_theory(measured):
    out, printed = measured
    assert sorted(path.name for path in out.iterdir()) == ["gradient_decay.json", "gradient_decay.png"]
    assert (out / "gradient_decay.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((out / "gradient_decay.json").read_text())
    table = {row["recurrence"]: row for row in found["table"]}
    assert (found["units"], found["steps"], found["trials"]) == (64, 80, 2)
    assert list(table) == [
        "tanh, N(0, 0.9²/U)",
        "tanh, orthogonal",
        "ReLU, identity",
        "LSTM",
        "LSTM, forget bias 5",
        "GRU",
    ]
    for name, row in table.items():
        assert f"{name:20} {row['mean']:9.1e}" in printed
    gaussian, orthogonal, irnn, lstm, open_lstm, gru = table.values()
    # 98 of 100 trials of the NumPy loop in docs/decisions/diagnosis.md lie in this range.
    assert 2e-6 < gaussian["median"] < 0.3
    for row in (gaussian, orthogonal, irnn):
        # No step exceeds the bound, except by the rounding of float32 weights.
        assert row["rate"] <= row["bound"] * (1 + 1e-6)
        # Two estimates of the same number over 79 steps, one from a vector forward and one from a vector backward.
        assert np.log(row["rate"]) == pytest.approx(np.log(row["lyapunov_factor"]), abs=0.02)
    # Half of the units are off: a random vector loses its part in them once, √½, and nothing after that.
    assert irnn["mean"] == pytest.approx(np.sqrt(0.5), abs=0.1)
    # Half-closed gates forget faster than orthogonal tanh; with an open forget gate, an LSTM remembers.
    assert gru["mean"] < lstm["mean"] < 1e-5 < open_lstm["mean"]


@pytest.mark.slow
def test_an_earlier_run_is_not_overwritten(measured):
    out, _ = measured
    before = (out / "gradient_decay.json").read_bytes()
    done = run("--quick", "--out", out)
    assert done.returncode != 0
    assert "holds an earlier run; add --overwrite or choose another" in done.stderr
    assert "Traceback" not in done.stderr
    assert (out / "gradient_decay.json").read_bytes() == before
