"""The Python of docs/truncated_bptt.md runs as it stands."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vrnn as kv

PAGE = Path(__file__).parents[2] / "docs" / "truncated_bptt.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="runs in the checkout only")
def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(4, 120, 6)), random.normal(size=(4, 120, 3))
    np.save("x.npy", random.normal(size=(32 * 120, 6)))
    np.save("y.npy", random.normal(size=(32 * 120, 3)))
    blocks = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    names = {"np": np, "keras": keras, "kv": kv, "x": x, "y": y}
    updates = []
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
        updates.append(int(names["model"].optimizer.iterations))
    # Windows of 50, 50 and 20 steps, of one batch and of three epochs.
    assert updates == [3, 9]
