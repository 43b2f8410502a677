"""`keras-vrnn export`: a Keras model as a .tflite file, and a .tflite file as sources in C or C++."""

import argparse
import dataclasses
import json
import os
import tempfile
from pathlib import Path

from keras_vrnn.cli.loading import DATA, load_data, load_model

# Formats that TFLite Micro does not run, so they cannot become C++ sources.
_NOT_MICRO = ("dynamic", "float16")


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser(
        "export", help="write a Keras model as a .tflite file, or a .tflite file as sources in C or C++"
    )
    parser.set_defaults(run=_run)
    parser.add_argument("model", help="the .keras file; or, with --c or --c-array, a .tflite file")
    parser.add_argument(
        "tflite", nargs="?", help="the .tflite file to write; for an encoder-decoder, a folder"
    )
    parser.add_argument("--form", default="sequence", help="sequence (default), unrolled or streaming")
    parser.add_argument(
        "--quantization",
        help="int8 (default; a quantization-aware model has its own), int8x4 (4-bit weights), int16x8, dynamic, "
        "float16 or float32",
    )
    parser.add_argument(
        "--io", help="type of inputs and outputs: int8 or int16 (the file's own, default), or float32"
    )
    parser.add_argument(
        "--state",
        default="explicit",
        help="where a streaming file keeps its state: explicit (default) or internal",
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="sequences per invoke (default: 1)"
    )
    parser.add_argument(
        "--timesteps",
        type=_timesteps,
        default="data",
        metavar="N",
        help="steps of a model that leaves them open: a number, any, or data (default: as the calibration data)",
    )
    parser.add_argument(
        "--max-timesteps", type=int, metavar="N", help="the largest number of steps, with --timesteps any"
    )
    parser.add_argument(
        "--chunk", type=int, default=1, metavar="N", help="steps per invoke of a streaming file (default: 1)"
    )
    parser.add_argument("--calibration", default="minmax", help="minmax (default) or percentile")
    parser.add_argument(
        "--calibration-data", metavar="FILE", help=f"inputs for int8, int8x4 and int16x8: {DATA}"
    )
    parser.add_argument(
        "--max-error",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="refuse a file whose outputs differ from Keras by more, relative to their range (default: 0.1)",
    )
    parser.add_argument(
        "--card",
        metavar="FILE",
        help="put this model card into the file: JSON, with the keys of kv.tflite.Card",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--quiet", action="store_true", help="show no progress in a terminal")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument(
        "--c-array", metavar="FOLDER", help="write C++ sources for TFLite Micro there (extra micro)"
    )
    sources.add_argument(
        "--c", metavar="FOLDER", help="write C sources there that need no interpreter (int8, int8x4, int16x8)"
    )
    parser.add_argument(
        "--package",
        help="with --c: write a cmake, arduino, esp-idf or zephyr package instead of two files alone",
    )
    parser.add_argument("--name", default="model", help="name of the sources (default: model)")
    parser.add_argument(
        "--arena", type=int, metavar="BYTES", help="working memory in them, instead of measuring it"
    )


def _timesteps(text):
    if text in ("any", "data"):
        return None if text == "any" else text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, any or data. Received: {text!r}") from None


def _run(options):
    from_tflite = str(options.model).endswith(".tflite")
    _check(options, from_tflite)
    if from_tflite:
        _write_sources(options, options.model)
    elif options.c_array is None and options.c is None:
        _announce(options, _export(options, load_model(options.model), options.tflite))
    else:
        _export_with_sources(options)
    return 0


def _check(options, from_tflite):
    """Refuses, before any work, what can't succeed."""
    from keras_vrnn import _files
    from keras_vrnn.firmware import writing
    from keras_vrnn.tflite.card import Card
    from keras_vrnn.tflite.micro import sources

    has_sources = options.c_array is not None or options.c is not None
    if from_tflite and (options.tflite is not None or not has_sources):
        raise ValueError(
            f"`model` is a .tflite file, {options.model!r}, which can only become sources: "
            "keras-vrnn export model.tflite --c FOLDER, or --c-array FOLDER for TFLite Micro."
        )
    if not from_tflite and options.tflite is None:
        raise ValueError("`tflite` must be the .tflite file to write.")
    # An encoder-decoder becomes a folder, but not with sources.
    may_be_folder = options.tflite is None or (Path(options.tflite).is_dir() and not has_sources)
    if not may_be_folder:
        _files.check_writable(options.tflite, options.overwrite, "tflite")
    if options.card is not None:
        if from_tflite:
            raise ValueError(
                "`card` must be left out for a .tflite file. Put it in first: keras-vrnn describe "
                "model.tflite --card FILE."
            )
        Card.from_json(options.card)
    if options.package is not None and options.c is None:
        raise ValueError(f"`package` must be given with --c. Received: package={options.package!r}")
    if options.c is not None:
        writing.check_request(options.c, options.name, options.package, options.overwrite, "c")
    if options.c_array is not None:
        sources.check_request(options.c_array, options.name, options.arena, options.overwrite, "c_array")
        if options.quantization in _NOT_MICRO and not from_tflite:
            raise ValueError(
                "`quantization` must be int8, int8x4, int16x8 or float32 with --c-array, since TFLite Micro runs no "
                f"other. Received: quantization={options.quantization!r}"
            )


def _export(options, model, path):
    from keras_vrnn import tflite

    data = None
    if options.calibration_data is not None:
        data = load_data(options.calibration_data, "calibration_data")[0]
    return tflite.export(
        model,
        path,
        form=options.form,
        quantization=options.quantization,
        io=options.io,
        state=options.state,
        batch_size=options.batch_size,
        calibration_data=data,
        calibration=options.calibration,
        max_error=options.max_error,
        timesteps=options.timesteps,
        max_timesteps=options.max_timesteps,
        chunk=options.chunk,
        progress=not options.quiet,
        card=None if options.card is None else tflite.Card.from_json(options.card),
        overwrite=options.overwrite,
    )


def _export_with_sources(options):
    """Writes the .tflite file and its sources, or neither."""
    from keras_vrnn.models import EncoderDecoder

    model, target = load_model(options.model), Path(options.tflite)
    if isinstance(model, EncoderDecoder):
        raise ValueError(
            "`c` and `c_array` must be left out for an encoder-decoder, which becomes a folder of two files."
        )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as unfinished:
        made = Path(unfinished) / target.name
        result = _export(options, model, made)
        _write_sources(options, made, announce=dataclasses.replace(result, path=target))
        os.replace(made, target)


def _write_sources(options, path, announce=None):
    from keras_vrnn import tflite

    chosen = {"name": options.name, "overwrite": options.overwrite}
    if options.c is not None:
        written = tflite.write_c(path, options.c, package=options.package, **chosen)
    else:
        written = tflite.write_c_array(path, options.c_array, arena=options.arena, **chosen)
    _announce(options, announce, written)


def _announce(options, result=None, sources=()):
    """Prints what was written: the result of the export, if there was one, and sources."""
    if options.json:
        found = {} if result is None else result.to_dict()
        if sources:
            found["sources"] = [str(source) for source in sources]
        print(json.dumps(found, indent=2, default=float))
        return
    for part in (result, *sources):
        if part is not None:
            print(part)
