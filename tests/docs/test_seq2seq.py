"""The Python of docs/sequence_to_sequence.md runs as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "sequence_to_sequence.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="runs in the checkout only")
def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["found"].tokens.shape[:2] == (3, 4)
    assert (tmp_path / "reverse.keras").is_file()
    assert (tmp_path / "reverse" / "manifest.json").is_file()
