"""Runs an exported model on sequences or on a stream. Needs NumPy and ai-edge-litert, neither Keras nor TensorFlow.

    python run.py model.tflite --data x.npy --out y.npy                  whole sequences (samples, time, features)
    sensor | python run.py streaming.tflite                              a stream: one line in and out per step
    python run.py streaming.tflite --data x.npy                          the same sequences step by step

On the device: pip install numpy ai-edge-litert, and pip install --no-deps with a checkout of keras-vrnn.

A stream is read from the standard input as numbers separated by spaces or commas; an empty line or "reset" starts a new
sequence. Exit status: 0 done, 2 the input was refused.
"""

import argparse
import sys

import numpy as np

from keras_vrnn import _files
from keras_vrnn.tflite import Runner


def main(arguments=None):
    """Runs the model; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="the .tflite file")
    parser.add_argument("--data", help="a .npy array of sequences, or an .npz file with one array per input")
    parser.add_argument(
        "--out", help="the .npy file to write (.npz for several outputs); default: print as text"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file --out if it exists")
    parser.add_argument("--threads", type=int, default=1, help="of the interpreter (default: 1)")
    options = parser.parse_args(arguments)
    try:
        if options.out is not None:
            _files.check_writable(options.out, options.overwrite, "--out")
        runner = Runner(options.model, threads=options.threads)
        if options.data is None:
            follow(runner, sys.stdin, sys.stdout)
        else:
            write(runner(load(options.data)), options.out)
    except (ValueError, OSError) as error:
        print("run.py:", str(error).replace("overwrite=True", "--overwrite"), file=sys.stderr)
        return 2
    return 0


def follow(runner, lines, out):
    """Steps a streaming file through lines of numbers, and writes its output after each."""
    if len(runner.inputs) > 1 or len(runner.outputs) > 1 or runner.batch != 1:
        raise ValueError(
            "A stream of lines needs a model with one input and one output, exported with batch_size=1."
        )
    shape = runner.details[runner.inputs[0]]["shape"][2:]
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if words in ([], ["reset"]):
            runner.reset()
            continue
        try:
            x_t = np.array(words, np.float32)
        except ValueError as error:
            raise ValueError(f"Line {number} must hold numbers. Received: {line.strip()!r}") from error
        if x_t.size != np.prod(shape):
            raise ValueError(f"Line {number} must hold {int(np.prod(shape))} numbers. Received: {x_t.size}")
        print(*(f"{value:.6g}" for value in np.ravel(runner.step(x_t.reshape(shape)))), file=out, flush=True)


def load(path):
    """Returns the array in a .npy file, or input name -> array from an .npz file."""
    with open(path, "rb") as file:
        loaded = np.load(file, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else dict(loaded)


def write(outputs, path):
    """Writes the outputs into a file, or prints one line per sample."""
    if path is None:
        arrays = outputs if isinstance(outputs, dict) else {"": outputs}
        for name, array in arrays.items():
            for row in array.reshape(len(array), -1):
                print(*([name] if name else []), *(f"{value:.6g}" for value in row))
        return
    with _files.replacing(path) as temporary, open(temporary, "wb") as file:
        if isinstance(outputs, dict):
            np.savez(file, **outputs)
        else:
            np.save(file, outputs)


if __name__ == "__main__":
    sys.exit(main())
