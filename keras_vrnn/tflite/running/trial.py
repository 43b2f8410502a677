"""A first run of a `.tflite` file in a process of its own, since a damaged file may crash LiteRT or never end.

    python trial.py FILE

Run as a program, it loads the file and invokes it once on zeros. Needs NumPy and ai-edge-litert only.
"""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

# Long enough for any model on a slow board: the file is run once, on one sample.
_SECONDS = 60


def survive(path):
    """Raises ValueError if the file crashes LiteRT or keeps it busy without end.

    A file that LiteRT refuses passes: it gives its reason to whoever loads it next.
    """
    if not sys.executable:  # Python inside another program cannot start a second one
        return
    command = [sys.executable, __file__, os.fspath(path)]
    try:
        status = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        raise ValueError(f"it does not end within {_SECONDS} s; it is probably damaged") from None
    if status < 0:
        raise ValueError(f"it crashes ({signal.Signals(-status).name}); it is probably damaged")
    if status:
        raise ValueError(f"its first run ended with exit status {status}; it is probably damaged")


def run(path):
    """Invokes a file once on zeros, with 1 for each dimension that it leaves open."""
    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
    for detail in interpreter.get_output_details():
        interpreter.get_tensor(detail["index"])


if __name__ == "__main__":
    with contextlib.suppress(Exception):  # a refusal is not a crash
        run(sys.argv[1])
