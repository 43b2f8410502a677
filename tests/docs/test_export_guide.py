"""docs/export.md as a user follows it: its Python blocks and its commands run, in order."""

import re
import shlex
from pathlib import Path

import pytest

from keras_vrnn import cli

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, commands = {}, 0
    for language, block in re.findall(r"^```(python|sh)\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(compile(block, "export.md", "exec"), names)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "keras-vrnn"
            assert cli.main(arguments) == 0, (line, capsys.readouterr().err)
            commands += 1
    assert commands > 4
    assert names["probabilities"].shape == (4,)
    assert (tmp_path / "verification.png").stat().st_size > 0
    assert (tmp_path / "firmware" / "model_data.cc").exists()


def test_links_lead_somewhere():
    links = [*re.findall(r"\]\(([^)#]+)\)", GUIDE), *re.findall(r"\]\((#[^)]+)\)", GUIDE)]
    headings = {
        "#" + re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", GUIDE, flags=re.MULTILINE)
    }
    for link in links:
        assert link in headings if link.startswith("#") else (ROOT / "docs" / link).exists(), link
