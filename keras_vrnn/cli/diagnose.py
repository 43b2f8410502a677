"""`keras-vrnn diagnose`: how far back the gradient of a model reaches, and what its recurrent kernels do to it."""

import json

from keras_vrnn.cli.loading import DATA, load_data, load_model
from keras_vrnn.cli.status import hold


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser(
        "diagnose", help="show how far back the gradient of a model reaches, and why"
    )
    parser.set_defaults(run=_run)
    parser.add_argument("model", help="the .keras file")
    parser.add_argument(
        "--data", metavar="FILE", help=f"inputs: {DATA}; with targets as y, the gradient flow is measured too"
    )
    parser.add_argument(
        "--sequences",
        type=int,
        default=32,
        metavar="N",
        help="use the first N sequences of the data (default: 32)",
    )
    parser.add_argument("--loss", help="name of the loss, for a model that was saved without one")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the gradient flow into a .png, .svg or .pdf (extra plots)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the picture if it exists")
    group = parser.add_argument_group("thresholds", "exit status 1 if one is not met")
    group.add_argument(
        "--min-horizon", type=int, metavar="STEPS", help="steps back until the gradient is at 1 %%"
    )


def _run(options):
    from keras_vrnn import _pictures as pictures

    pictures.check_path(options.plot, options.overwrite)
    if options.sequences < 1:
        raise ValueError(f"`sequences` must be 1 or more. Received: sequences={options.sequences}.")
    x, y = (None, None) if options.data is None else load_data(options.data)
    if y is None and (options.plot or options.min_horizon is not None):
        asked = "plot" if options.plot else "min-horizon"
        raise ValueError(f"`{asked}` needs the gradient flow. Pass --data with targets y.")
    model = load_model(options.model)
    x, y = (_first(part, options.sequences) for part in (x, y))
    from keras_vrnn.diagnostics import gradient_flow

    flow = None if y is None else gradient_flow(model, x, y, options.loss)
    spectra = spectra_of(model, x)
    if flow is None and not spectra:
        raise ValueError(
            "`model` must have a vanilla RNN, for the spectrum of its kernel, unless the gradient flow is measured: "
            f"pass --data with targets y. Received: model={options.model!r}."
        )
    if options.json:
        found = {"flow": flow and flow.to_dict(), "spectra": [spectrum.to_dict() for spectrum in spectra]}
        print(json.dumps(found, indent=2))
    else:
        print("\n\n".join(str(part) for part in (flow, *spectra) if part is not None))
    if options.plot:
        flow.plot(options.plot, overwrite=options.overwrite)
    return hold("diagnose", [("horizon", flow and flow.horizon, options.min_horizon, True)])


def _first(data, count):
    if isinstance(data, dict):
        return {name: array[:count] for name, array in data.items()}
    return None if data is None else data[:count]


def spectra_of(model, x):
    """The spectrum of every vanilla RNN; with `x`, on the input that the RNN receives when the model reads `x`."""
    from keras_vrnn.diagnostics import recurrences, spectrum
    from keras_vrnn.layers.interception import vanilla_layers

    if x is None:
        return [spectrum(layer) for layer in vanilla_layers(model)]
    return [spectrum(layer, *data) for _, layer, *data in recurrences.vanilla_calls(model, x)]
