"""`keras-vrnn export`: a Keras model as a .tflite file, and a .tflite file as C++ sources."""

from pathlib import Path

from keras_vrnn.cli.loading import DATA, load_data, load_model


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser(
        "export", help="write a Keras model as a .tflite file, or that as C++ sources"
    )
    parser.set_defaults(run=_run)
    parser.add_argument("model", help="the .keras file; or, with --c-array, a .tflite file")
    parser.add_argument(
        "tflite", nargs="?", help="the .tflite file to write; the folder of an encoder-decoder"
    )
    parser.add_argument("--form", default="sequence", help="sequence (default), unrolled or streaming")
    parser.add_argument(
        "--quantization", default="int8", help="int8 (default), int16x8, dynamic, float16 or float32"
    )
    parser.add_argument(
        "--io", help="type of inputs and outputs: int8 or int16 (the file's own, default), or float32"
    )
    parser.add_argument(
        "--state", default="explicit", help="of a streaming file: explicit (default) or internal"
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="sequences an invoke (default: 1)"
    )
    parser.add_argument("--calibration", default="minmax", help="minmax (default) or percentile")
    parser.add_argument("--calibration-data", metavar="FILE", help=f"inputs for int8 and int16x8: {DATA}")
    parser.add_argument(
        "--max-error",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="refuse a file whose outputs differ from Keras by more, relative to their range (default: 0.1)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--c-array", metavar="FOLDER", help="write C++ sources for TFLite Micro there (extra micro)"
    )
    parser.add_argument("--name", default="model", help="what the C++ sources are called (default: model)")
    parser.add_argument(
        "--arena", type=int, metavar="BYTES", help="working memory in them, instead of measuring it"
    )


def _run(options):
    from keras_vrnn import _files, tflite

    from_tflite = str(options.model).endswith(".tflite")
    if from_tflite and (options.tflite is not None or options.c_array is None):
        raise ValueError(
            f"model: {options.model!r} is a .tflite file, which can only become C++ sources: "
            "keras-vrnn export model.tflite --c-array FOLDER."
        )
    if not from_tflite and options.tflite is None:
        raise ValueError("tflite: name the .tflite file to write.")
    if not from_tflite:
        if not Path(options.tflite).is_dir():  # which an encoder-decoder may become
            _files.check_writable(options.tflite, options.overwrite, "tflite")
        data = None if options.calibration_data is None else load_data(options.calibration_data)[0]
        result = tflite.export(
            load_model(options.model),
            options.tflite,
            form=options.form,
            quantization=options.quantization,
            io=options.io,
            state=options.state,
            batch_size=options.batch_size,
            calibration_data=data,
            calibration=options.calibration,
            max_error=options.max_error,
            overwrite=options.overwrite,
        )
        print(result)
    if options.c_array is not None:
        source = options.model if from_tflite else options.tflite
        chosen = {"name": options.name, "arena": options.arena, "overwrite": options.overwrite}
        for path in tflite.write_c_array(source, options.c_array, **chosen):
            print(path)
    return 0
