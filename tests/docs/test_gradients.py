"""The Python blocks of docs/gradients.md run as they stand, with the results that the page describes."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "gradients.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="runs in the checkout only")
pytest.importorskip("matplotlib")


def test_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(64, 60, 3)).astype("float32")
    y = (x[:, 0, :1] > 0).astype("float32")
    names = {"x_train": x, "y_train": y, "x_validation": x[:16], "y_validation": y[:16]}
    blocks = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 4
    with pytest.warns(UserWarning, match="Gradients after epoch 1 are vanishing"):
        exec(compile(blocks[0], PAGE.name, "exec"), names)
    for block in blocks[1:]:
        exec(compile(block, PAGE.name, "exec"), names)
    for name in ("norms.csv", "norms.png", "flow.png", "both.png"):
        assert (tmp_path / name).exists()
    printed = capsys.readouterr().out
    # The numbers on the page come from one machine; these conclusions hold on every machine.
    assert names["health"].verdict.kind == names["flow"].verdict.kind == "vanishing"
    assert 4 <= names["flow"].horizon <= 8
    assert "largest Lyapunov exponent: -0." in printed
    print(printed)
