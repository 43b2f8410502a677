"""The README's Python runs as it stands."""

import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 50, 6)).astype(np.float32)
    y = random.integers(0, 4, 64)
    names = {"x_train": x, "y_train": y, "x_test": x[:16], "y_test": y[:16], "x": x[:2]}
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["probabilities"].shape == (2, 4)
    assert (tmp_path / "norms.csv").exists()
