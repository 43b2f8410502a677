"""`python -m benchmarks.start_up`: seconds from the start of Python until an import is done.

Each in processes of its own, in turn with the others; the median. "Python alone" is part of every other number.
"""

import argparse
import statistics
import subprocess
import sys
import time

from benchmarks.machine import describe

PROGRAMS = {
    "Python alone": "pass",
    "import numpy": "import numpy",
    "import keras_vrnn": "import keras_vrnn",
    "from keras_vrnn.tflite import Runner": "from keras_vrnn.tflite import Runner",
    "import keras": "import keras",
    "kv.VanillaRNN": "import keras_vrnn as kv; kv.VanillaRNN",
}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_up", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind (default 5)")
    options = parser.parse_args()
    seconds = {name: [] for name in PROGRAMS}
    for _ in range(options.rounds):
        for name, code in PROGRAMS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    machine = describe(threads=1)
    print(f"{machine['cpu']}, {machine['system']}; load {machine['load_before']:.1f}\n")
    print("| what | seconds |\n|---|---|")
    for name, found in seconds.items():
        print(f"| {name} | {statistics.median(found):.2f} |")


if __name__ == "__main__":
    main()
