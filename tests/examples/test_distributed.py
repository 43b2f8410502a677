"""examples/distributed.py: two processes that it starts report the same weights."""

import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "distributed.py"


def run(*arguments, environment=None):
    command = [sys.executable, EXAMPLE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)


@pytest.mark.slow
def test_two_workers_end_with_the_same_weights():
    done = run("--workers", "2", "--epochs", "2")
    assert done.returncode == 0, done.stderr[-4000:]
    lines = re.findall(r"worker (\d) of 2: (.*)", done.stdout)
    assert sorted(number for number, _ in lines) == ["0", "1"]
    assert len({report for _, report in lines}) == 1


def test_a_worker_without_its_cluster_says_what_is_missing():
    done = run()
    assert done.returncode == 2
    assert "set TF_CONFIG, or start the processes with --workers" in done.stderr
