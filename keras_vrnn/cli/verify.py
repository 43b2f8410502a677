"""`keras-vrnn verify`: a .tflite file against its Keras model."""

from keras_vrnn.cli.loading import DATA, load_data, load_model
from keras_vrnn.cli.status import hold, threshold


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser("verify", help="compare a .tflite file with its Keras model")
    parser.set_defaults(run=_run)
    parser.add_argument("model", help="the .keras file")
    parser.add_argument("tflite", help="the .tflite file")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help=f"inputs: {DATA}; labels or targets as y"
    )
    parser.add_argument(
        "--micro",
        action="store_true",
        help="run it in TFLite Micro too (extra micro; without it by simulation), and show where LiteRT differs",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress in a terminal")
    parser.add_argument("--json", action="store_true", help="print the measures as JSON")
    parser.add_argument(
        "--describe", action="store_true", help="write the measures into the file's model card"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the errors into a .png, .svg or .pdf (extra plots)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the picture if it exists")
    group = parser.add_argument_group(
        "thresholds", "exit status 1 if one is not met by every output; with --micro in TFLite Micro too"
    )
    for option, metavar, text in (
        ("--min-agreement", "SHARE", "share of predictions equal to Keras', 0 to 1"),
        ("--min-accuracy", "SHARE", "share of predictions equal to the labels, 0 to 1"),
        ("--max-mae", "ERROR", "mean absolute error against real targets"),
        ("--max-rmse", "ERROR", "root mean squared error against real targets"),
        ("--max-error", "ERROR", "largest difference from Keras"),
        ("--max-mean-error", "ERROR", "mean difference from Keras"),
    ):
        group.add_argument(option, type=threshold, metavar=metavar, help=text)


def _run(options):
    from keras_vrnn import _pictures as pictures
    from keras_vrnn import tflite

    if options.plot is not None:
        pictures.check_path(options.plot, options.overwrite)
    x, y = load_data(options.data)
    tflite.Runner(options.tflite)  # a damaged file is found before the model is loaded
    report = tflite.verify(
        load_model(options.model), options.tflite, x, y, micro=options.micro, progress=not options.quiet
    )
    if options.describe:
        tflite.describe(options.tflite, figures=report.figures)
    if options.plot is not None:
        report.plot(options.plot, options.overwrite)
    print(report.to_json() if options.json else report)
    thresholds = []
    for runtime, outputs in (("", report.outputs), (" in TFLite Micro", report.micro or {})):
        for name, output in outputs.items():
            where = f"{runtime} of output {name!r}" if len(outputs) > 1 else runtime
            thresholds += [
                (f"agreement{where}", output.agreement, options.min_agreement, True),
                (f"accuracy{where}", output.accuracy, options.min_accuracy, True),
                (f"mae{where}", output.mae, options.max_mae, False),
                (f"rmse{where}", output.rmse, options.max_rmse, False),
                (f"max_error{where}", output.max_error, options.max_error, False),
                (f"mean_error{where}", output.mean_error, options.max_mean_error, False),
            ]
    return hold("verify", thresholds)
