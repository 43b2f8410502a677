"""`keras-vrnn verify`: a .tflite file against its Keras model."""

from keras_vrnn.cli.loading import DATA, load_data, load_model
from keras_vrnn.cli.status import hold


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser("verify", help="compare a .tflite file with its Keras model")
    parser.set_defaults(run=_run)
    parser.add_argument("model", help="the .keras file")
    parser.add_argument("tflite", help="the .tflite file")
    parser.add_argument("--data", required=True, metavar="FILE", help=f"inputs: {DATA}; labels as y")
    parser.add_argument("--micro", action="store_true", help="run it in TFLite Micro too (extra micro)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the errors into a .png, .svg or .pdf (extra plots)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the picture if it exists")
    bars = parser.add_argument_group(
        "bars", "exit status 1 if one is missed; with --micro in TFLite Micro too"
    )
    bars.add_argument("--min-agreement", type=float, metavar="SHARE", help="of equal predictions, 0 to 1")
    bars.add_argument("--min-accuracy", type=float, metavar="SHARE", help="of right predictions, 0 to 1")
    bars.add_argument("--max-error", type=float, metavar="ERROR", help="largest difference of an output")
    bars.add_argument("--max-mean-error", type=float, metavar="ERROR", help="mean difference of an output")


def _run(options):
    from keras_vrnn import _pictures as figures
    from keras_vrnn import tflite

    if options.plot is not None:  # before the work
        figures.check_path(options.plot, options.overwrite)
    x, y = load_data(options.data)
    tflite.Runner(options.tflite)  # a missing or damaged file is found before the model is loaded
    report = tflite.verify(load_model(options.model), options.tflite, x, y, micro=options.micro)
    if options.plot is not None:
        report.plot(options.plot, options.overwrite)
    print(report.to_json() if options.json else report)
    bars = []
    for runtime, outputs in (("", report.outputs), (" in TFLite Micro", report.micro or {})):
        for name, output in outputs.items():
            where = f"{runtime} of output {name!r}" if len(outputs) > 1 else runtime
            bars += [
                (f"agreement{where}", output.agreement, options.min_agreement, True),
                (f"accuracy{where}", output.accuracy, options.min_accuracy, True),
                (f"max_error{where}", output.max_error, options.max_error, False),
                (f"mean_error{where}", output.mean_error, options.max_mean_error, False),
            ]
    return hold("verify", bars)
