"""The measurement of imports runs; how long they take is for its table."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


def test_it_prints_a_row_for_each_import():
    program = (
        "from benchmarks import start_up; start_up.PROGRAMS = {'Python alone': 'pass', 'sys': 'import sys'}; "
        "start_up.main()"
    )
    command = [sys.executable, "-c", program, "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[-2:]] == ["Python alone", "sys"]
