"""Runs an example as a user does: in a process of its own, with the checkout's package."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(name, *arguments, code=None):
    """Runs `examples/<name>`, or Python `code` that may import it; returns the finished process with its output."""
    start = ["-c", code] if code else [EXAMPLES / name]
    settings = {"PYTHONPATH": str(EXAMPLES.parent), "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, *map(str, [*start, *arguments])],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | settings,
        timeout=600,
        check=False,
    )
