"""`keras-vrnn inspect`: what is in a .tflite file and where it runs."""

import sys

from keras_vrnn.cli.status import DONE, MISSED


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser("inspect", help="show what is in a .tflite file, and where it runs")
    parser.set_defaults(run=_run)
    parser.add_argument("tflite", help="the .tflite file")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--require",
        choices=["litert", "micro"],
        help="exit status 1 unless it runs in plain LiteRT (litert), or in TFLite Micro (micro)",
    )


def _run(options):
    from keras_vrnn import tflite

    report = tflite.inspect(options.tflite)
    print(report.to_json() if options.json else report)
    litert = (*report.foreign, report.litert_reason) if report.litert_reason else report.foreign
    reasons = {"litert": litert, "micro": report.micro_reasons}.get(options.require, ())
    for reason in reasons:
        print(f"keras-vrnn inspect: not for {options.require}: {reason}", file=sys.stderr)
    return MISSED if reasons else DONE
