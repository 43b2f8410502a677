"""`keras-vrnn unroll`: an interactive page about one sequence in the vanilla RNNs of a model."""

from pathlib import Path

from keras_vrnn.cli.loading import DATA, load_data, load_model


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser(
        "unroll", help="write an HTML page on which one drags through the time steps of a sequence"
    )
    parser.set_defaults(run=_run)
    parser.add_argument("model", help="the .keras file, with VanillaRNN, SimpleRNN or FastRNN layers")
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help=f"inputs: {DATA}; with targets as y, the page shows the gradient of the loss, too",
    )
    parser.add_argument(
        "--sequence", type=int, default=0, metavar="N", help="which sequence of it, from 0 (default: 0)"
    )
    parser.add_argument("--loss", help="name of the loss, for a model that was saved without one")
    parser.add_argument("--out", metavar="FILE", help="the page (default: the model's name with .html)")
    parser.add_argument("--overwrite", action="store_true", help="replace the page if it exists")


def _run(options):
    from keras_vrnn import _files

    out = _files.check_writable(
        options.out or Path(options.model).with_suffix(".html"), options.overwrite, "out"
    )
    x, y = load_data(options.data)
    model = load_model(options.model)
    from keras_vrnn.diagnostics import unroll

    unroll(model, x, y, options.loss, sequence=options.sequence).write_html(out, options.overwrite)
    print(out)
    return 0
