"""The compression example as a user runs it: in a process of its own, at small size."""

import importlib.util
import json

import pytest
from example_runs import EXAMPLES, run_example

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (EXAMPLES / "compress.py").is_file(), reason="runs in the checkout only"),
    *(
        pytest.mark.skipif(importlib.util.find_spec(name) is None, reason="needs two extras")
        for name in ("mlxtend", "tensorflow_model_optimization")
    ),
]


def test_it_compresses_measures_and_writes(tmp_path):
    done = run_example("compress.py", "--quick", "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "new" / "compress.json").read_text())["rows"]
    assert len(rows) == 8
    for name, row in rows.items():
        assert f"{name:26} {row['accuracy']:6.1%}" in done.stdout
        assert 0 < row["zipped"] < row["bytes"]
        assert row["microseconds"] > 0
    zeros = next(row for name, row in rows.items() if "zeros" in name)
    assert zeros["zipped"] < 0.6 * rows["float32"]["zipped"]
    assert rows["int8x4, trained"]["bytes"] < rows["int8, trained"]["bytes"] < 0.5 * rows["float32"]["bytes"]
    again = run_example("compress.py", "--quick", "--out", tmp_path / "new")
    assert again.returncode != 0
    assert "add --overwrite or another --out" in again.stderr
