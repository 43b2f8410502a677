"""Damages a `.tflite` file in many ways and hands each result to everything that reads one.

    python damage.py FILE FOLDER COUNT SEED

A program of its own, because a damaged file may crash the process or keep it busy without end: then the file that
did it is left in FOLDER. Prints, as JSON, how many of the damaged files each reader accepted. An exception other than
ValueError or OSError ends the program.
"""

import contextlib
import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from keras_vrnn import tflite
from keras_vrnn.tflite.micro import interpreter as micro


def damage(content, pick):
    """Returns a damaged copy: flipped bits, overwritten bytes, a cut end, or a lost, doubled or zeroed stretch."""
    damaged, size = bytearray(content), len(content)
    start = pick.randrange(size)
    stretch = slice(start, start + pick.choice((1, 4, 64)))
    kind = pick.choice(("flip", "flip", "flip", "overwrite", "overwrite", "cut", "lost", "doubled", "zeroed"))
    if kind == "flip":
        for _ in range(pick.choice((1, 1, 1, 4, 16))):
            damaged[pick.randrange(size)] ^= 1 << pick.randrange(8)
    elif kind == "overwrite":
        for _ in range(pick.choice((1, 4, 16))):
            damaged[pick.randrange(size)] = pick.choice((0, 0x7F, 0x80, 0xFF, pick.randrange(256)))
    elif kind == "cut":
        del damaged[start:]
    elif kind == "lost":
        del damaged[stretch]
    elif kind == "doubled":
        damaged[start:start] = damaged[stretch]
    else:
        damaged[stretch] = bytes(len(damaged[stretch]))
    return bytes(damaged)


def run(path):
    """Runs a file on zeros, as a user does."""
    runner = tflite.Runner(path)
    shapes = {name: np.abs(runner.details[name]["shape_signature"]) for name in runner.inputs}
    return runner({name: np.zeros(shape) for name, shape in shapes.items()})


READERS = {
    "run": run,
    "inspect": lambda path: tflite.inspect(path).to_json() + str(tflite.inspect(path)),
    "benchmark": lambda path: tflite.benchmark(path, runs=1, warmup=0),
    "write_c_array": lambda path: tflite.write_c_array(path, path.parent / "c", arena=4096, overwrite=True),
}


def main(file, folder, count, seed):
    # Its own process for each file takes a second; what it does with damaged files has a test beside it.
    micro.is_installed = lambda: False
    content, pick, accepted = Path(file).read_bytes(), random.Random(int(seed)), Counter()
    path = Path(folder) / "damaged.tflite"
    for _ in range(int(count)):
        damaged = damage(content, pick)
        while damaged == content:  # zeros overwritten by zeros, for example
            damaged = damage(content, pick)
        path.write_bytes(damaged)
        for name, reader in READERS.items():
            with contextlib.suppress(ValueError, OSError):
                reader(path)
                accepted[name] += 1
    print(json.dumps(accepted))


if __name__ == "__main__":
    main(*sys.argv[1:])
