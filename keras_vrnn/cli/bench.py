"""`keras-vrnn bench`: times and sizes of a .tflite file."""

from keras_vrnn.cli.status import hold, threshold


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser("bench", help="time a .tflite file, and measure its size and arena")
    parser.set_defaults(run=_run)
    parser.add_argument("tflite", help="the .tflite file")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the interpreter (default: 1)")
    parser.add_argument(
        "--runs", type=int, default=200, metavar="N", help="number of sequences timed (default: 200)"
    )
    parser.add_argument(
        "--steps", type=int, metavar="T", help="time steps per sequence, where the file leaves them open"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress in a terminal")
    parser.add_argument("--json", action="store_true", help="print times and sizes as JSON")
    group = parser.add_argument_group("thresholds", "exit status 1 if one is not met")
    group.add_argument(
        "--max-us-per-step", type=threshold, metavar="US", help="median microseconds per time step"
    )
    group.add_argument("--max-size", type=int, metavar="BYTES", help="size of the file")
    group.add_argument(
        "--max-arena", type=int, metavar="BYTES", help="memory in use by TFLite Micro (extra micro)"
    )


def _run(options):
    from keras_vrnn import tflite

    report = tflite.benchmark(
        options.tflite,
        threads=options.threads,
        runs=options.runs,
        steps=options.steps,
        progress=not options.quiet,
    )
    print(report.to_json() if options.json else report)
    arena = None if report.arena is None else report.arena.total
    return hold(
        "bench",
        [
            ("median µs per step", report.step_us["p50"], options.max_us_per_step, False),
            ("size", report.size, options.max_size, False),
            ("arena", arena, options.max_arena, False),
        ],
    )
