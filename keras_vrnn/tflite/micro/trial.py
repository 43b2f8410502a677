"""Loads and runs a file in TFLite Micro: a program of its own, since that interpreter may crash the process.

    python trial.py FILE ARENA_BYTES [--smallest]

Prints what the interpreter used to stderr, as `print_allocations` writes it; with --smallest, to stdout the smallest
arena with which the file still runs. Exit status: 0 it ran, 1 it was refused.
"""

import os
import sys

import numpy as np

_ALIGNMENT = 16


def run(path, arena_bytes):
    """Invokes the file once on zeros and returns the interpreter."""
    from tflite_micro.python.tflite_micro import runtime  # type: ignore[import-untyped]

    interpreter = runtime.Interpreter.from_file(path, arena_size=arena_bytes)
    for index in range(sys.maxsize):
        try:
            detail = interpreter.get_input_details(index)
        except IndexError:
            break
        interpreter.set_input(np.zeros(detail["shape"], detail["dtype"]), index)
    interpreter.invoke()
    return interpreter


def smallest(path, enough):
    """Finds the smallest arena with which the file runs, by bisection. Planning needs more than stays in use."""
    low, high = 0, -(-enough // _ALIGNMENT)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _runs(path, middle * _ALIGNMENT) else (middle, high)
    return high * _ALIGNMENT


def _runs(path, arena_bytes):
    """Returns whether the file runs, in a process of its own: with too small an arena the interpreter crashes."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        try:
            run(path, arena_bytes)
        except BaseException:  # whatever it is, this copy of the process must end here
            os._exit(1)
        os._exit(0)
    return os.waitpid(process, 0)[1] == 0


def main(path, arena_bytes, *options):
    """Runs the file; returns the exit status."""
    arena_bytes = int(arena_bytes)
    try:
        run(path, arena_bytes).print_allocations()
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if options:
        print(smallest(path, arena_bytes))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
