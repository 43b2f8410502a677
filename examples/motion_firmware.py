"""A trained network as C without an interpreter, on an emulated Cortex-M4: is it what Python computes?

python examples/motion.py           # first: trains the network and writes out/motion/motion.tflite
python examples/motion_firmware.py  # smartwatch recordings of two people that it was not trained on
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import motion
import numpy as np

import keras_vrnn as kv
from keras_vrnn.firmware.vectors import vectors_of

# Start-up code, program and Makefile for a bare Cortex-M.
BOARD = Path(__file__).parents[1] / "export" / "cortex_m"
PACKAGES = {
    "make": "make",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}


def main(argv=None):
    args = arguments(argv)
    try:
        if missing := [packages for tool, packages in PACKAGES.items() if shutil.which(tool) is None]:
            raise OSError(f"install the Debian packages {' '.join(missing)}.")
        if not (path := args.out / "motion.tflite").exists():
            raise FileNotFoundError(f"there is no {path}; run motion.py first.")
        data = kv.datasets.watch_motions()
        kv.tflite.write_c(path, args.out / "firmware", name="motion", overwrite=args.overwrite)
    except (OSError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    readings, labels = motion.windows(data, np.isin(data.subjects, motion.HELD_OUT))
    readings, labels = readings[:: args.every], labels[:: args.every, 0]

    made, printed = on_board(args.out, readings, labels, args.core)
    expected = vectors_of(path, kv.tflite.Runner(path).card.normalized(readings)).outputs["output"]
    differing = np.count_nonzero(made != expected)
    print(
        f"{len(readings)} windows of people {motion.HELD_OUT}; a row for each exercise, a column for each answer:"
    )
    print(printed, end="")
    print(f"right: {(made[:, -1].argmax(axis=-1) == labels).mean():.1%}")
    print(f"outputs that differ from kv.tflite.simulate: {differing} of {made.size}")
    in_python = confusion(expected, labels)
    on_the_board = np.array([line.split()[: len(in_python)] for line in printed.splitlines()], int)
    if differing or not np.array_equal(on_the_board, in_python):
        sys.exit(f"{Path(__file__).name}: the board and Python differ. Python's table:\n{in_python}")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/motion"),
        help="folder of motion.tflite and of the files written",
    )
    parser.add_argument(
        "--core", default="cortex-m4", help="cortex-m0plus, cortex-m4, cortex-m7 or cortex-m33"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth window")
    parser.add_argument("--overwrite", action="store_true", help="replace sources that exist")
    return parser.parse_args(argv)


def on_board(out, readings, labels, core):
    """Streams windows through the program on the board: integers (windows, samples, classes), and what it prints."""
    samples = readings.shape[1]
    heads = np.stack([labels, np.full_like(labels, samples)], axis=1).astype("<i4")
    bodies = readings.reshape(len(readings), -1).astype("<f4")
    stream = np.concatenate([heads.view("<u4"), bodies.view("<u4")], axis=1).tobytes()
    folders = [f"MODEL={out / 'firmware'}", f"BUILD={out / 'build'}"]
    command = ["make", "--silent", "-f", BOARD / "Makefile", f"CORE={core}", *folders, "run"]
    done = subprocess.run(command, input=stream, capture_output=True, check=False)
    if done.returncode or len(done.stdout) % readings[..., 0].size:  # the board stopped at a fault
        sys.exit(f"{Path(__file__).name}: the program did not finish: {done.stderr.decode()}")
    return np.frombuffer(done.stdout, np.int8).reshape(len(readings), samples, -1), done.stderr.decode()


def confusion(outputs, labels):
    """How often a window of each exercise (row) got each answer (column) at its last sample."""
    table = np.zeros((outputs.shape[-1],) * 2, int)
    np.add.at(table, (labels, outputs[:, -1].argmax(axis=-1)), 1)
    return table


if __name__ == "__main__":
    main()
