"""`keras-vrnn export | verify`: the exporter on the command line.

Exit status: 0 done, 1 a figure missed the bar that was asked for, 2 the input was refused.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from keras_vrnn._version import __version__

MISSED, REFUSED = 1, 2


def main(arguments=None):
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        message = " ".join(str(error).split())
        print(f"keras-vrnn {options.command}: {message}", file=sys.stderr)
        return REFUSED


def _parser():
    parser = argparse.ArgumentParser(prog="keras-vrnn", description="Vanilla RNNs from Keras to TFLite.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="export | verify")

    export = commands.add_parser("export", help="write a Keras model as a .tflite file")
    export.set_defaults(run=_export)
    export.add_argument("model", help="the .keras file")
    export.add_argument("tflite", help="the .tflite file to write")
    export.add_argument("--form", default="sequence", help="sequence (default), unrolled or streaming")
    export.add_argument(
        "--quantization", default="int8", help="int8 (default), int16x8, dynamic, float16 or float32"
    )
    export.add_argument("--calibration-data", metavar="FILE", help=f"inputs for int8 and int16x8: {_DATA}")
    export.add_argument("--overwrite", action="store_true", help="replace the .tflite file if it exists")

    verify = commands.add_parser("verify", help="compare a .tflite file with its Keras model")
    verify.set_defaults(run=_verify)
    verify.add_argument("model", help="the .keras file")
    verify.add_argument("tflite", help="the .tflite file")
    verify.add_argument("--data", required=True, metavar="FILE", help=f"inputs: {_DATA}; labels as y")
    verify.add_argument(
        "--min-agreement", type=float, metavar="SHARE", help="exit 1 below this share, 0 to 1"
    )
    verify.add_argument(
        "--max-error", type=float, metavar="ERROR", help="exit 1 above this output difference"
    )
    verify.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


_DATA = "a .npy array, or an .npz with the array x or one array an input, named as the input"


def _export(options):
    from keras_vrnn import _files, tflite

    _files.check_writable(options.tflite, options.overwrite, "tflite")
    data = None if options.calibration_data is None else _load_data(options.calibration_data)[0]
    result = tflite.export(
        _load_model(options.model),
        options.tflite,
        form=options.form,
        quantization=options.quantization,
        calibration_data=data,
        overwrite=options.overwrite,
    )
    print(result)
    return 0


def _verify(options):
    from keras_vrnn import tflite

    x, y = _load_data(options.data)
    tflite.Runner(options.tflite)  # a missing or damaged file is found before the model is loaded
    report = tflite.verify(_load_model(options.model), options.tflite, x, y)
    print(json.dumps(report.to_dict(), indent=2) if options.json else report)
    missed = []
    if options.min_agreement is not None:
        if report.agreement is None:
            raise ValueError(
                "--min-agreement: the model's output stands for no class, so there is no agreement."
            )
        if report.agreement < options.min_agreement:
            missed.append(f"agreement {report.agreement:.4f} is below {options.min_agreement}")
    if options.max_error is not None and report.max_error > options.max_error:
        missed.append(f"max_error {report.max_error:.6g} is above {options.max_error}")
    for line in missed:
        print(f"keras-vrnn verify: {line}", file=sys.stderr)
    return MISSED if missed else 0


def _load_model(path):
    if not Path(path).is_file():
        raise FileNotFoundError(f"model: there is no file {path!r}.")
    import keras

    try:
        return keras.models.load_model(path)
    except Exception as error:  # Keras raises many kinds for a damaged file, none of them telling
        raise ValueError(f"model: {path!r} can't be loaded as a Keras model: {error}") from error


def _load_data(path):
    """Returns (inputs, labels or None) of a .npy or .npz file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"data: there is no file {path!r}.")
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"data: {path!r} is no NumPy file of plain arrays: {error}") from error
    if isinstance(loaded, np.ndarray):
        return loaded, None
    with loaded:
        arrays = dict(loaded)
    y = arrays.pop("y", None)
    if not arrays:
        raise ValueError(f"data: {path!r} holds no input; expected {_DATA}.")
    return (arrays["x"] if list(arrays) == ["x"] else arrays), y
