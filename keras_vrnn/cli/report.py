"""`keras-vrnn report`: one page of HTML about a training, from the files in its folder."""

import csv
import html
from pathlib import Path

import numpy as np

from keras_vrnn._shown import image, page
from keras_vrnn.cli.loading import DATA, load_data, load_model


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser(
        "report", help="write one HTML page about a training, from the files in its folder (extra plots)"
    )
    parser.set_defaults(run=_run)
    parser.add_argument(
        "folder",
        help="folder with one .keras file; the CSV files of GradientNorms and of keras.callbacks.CSVLogger, and "
        ".tflite files, are taken in where there are any",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help=f"held-out data: {DATA}; targets as y, for the gradient flow",
    )
    parser.add_argument(
        "--sequences", type=int, default=64, metavar="N", help="use the first N sequences of it (default: 64)"
    )
    parser.add_argument("--out", metavar="FILE", help="the page (default: report.html in the folder)")
    parser.add_argument("--overwrite", action="store_true", help="replace the page if it exists")


def _run(options):
    from keras_vrnn import _files
    from keras_vrnn import _pictures as pictures

    folder = Path(options.folder)
    models = sorted(folder.glob("*.keras"))
    if len(models) != 1:
        raise ValueError(
            f"`folder` must be a folder with one .keras file. Received: folder={options.folder!r} with {len(models)}."
        )
    if options.sequences < 1:
        raise ValueError(f"`sequences` must be 1 or more. Received: sequences={options.sequences}.")
    out = _files.check_writable(options.out or folder / "report.html", options.overwrite, "out")
    pictures.matplotlib()  # whether it is there
    x, y = (_first(part, options.sequences) for part in load_data(options.data))
    tables = {path: _table(path) for path in sorted(folder.glob("*.csv"))}
    model = load_model(models[0])
    sections = [
        *_epochs(tables, pictures),
        *_norms(tables),
        *_gradients(model, x, y),
        *_files_of(folder, model, x, y),
    ]
    body = "\n".join(f"<h2>{html.escape(title)}</h2>\n{content}" for title, content in sections)
    text = page(f"{models[0].name}: {model.count_params():,} weights", body)
    with _files.replacing(out) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    print(out)
    return 0


def _first(data, count):
    if isinstance(data, dict):
        return {name: array[:count] for name, array in data.items()}
    return None if data is None else data[:count]


def _table(path):
    """Column → values of a CSV file of numbers, without columns that hold none; empty for any other file."""
    with open(path, newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    try:
        # Keras' CSVLogger writes NA where an epoch has no value.
        values = np.array([[cell.replace("NA", "nan") for cell in row] for row in rows], float)
        columns = zip(head, values.reshape(len(rows), len(head)).T, strict=True)
    except ValueError:
        return {}
    return {name: column for name, column in columns if not np.isnan(column).all()}


def _epochs(tables, pictures):
    """The losses and metrics of every epoch."""
    for path, table in tables.items():
        if "epoch" not in table:
            continue
        figure_class, _ = pictures.matplotlib()
        figure = figure_class(figsize=(9, 3.2), layout="constrained")
        axis = figure.subplots()
        own = ("epoch", "grad_norm", "grad_norm_max", "clipped_grad_norm", "clip_fraction", "skipped_steps")
        for name in (name for name in table if name not in own):
            axis.plot(table["epoch"] + 1, table[name], label=name)
        axis.set_xlabel("epoch")
        pictures.style(axis)
        pictures.legend_beside(axis)
        last = "\n".join(f"{name:20} {values[-1]:.4g}" for name, values in table.items() if name != "epoch")
        yield f"Epochs ({path.name})", f"{image(figure)}<pre>{html.escape(last)}</pre>"


def _norms(tables):
    from keras_vrnn.diagnostics.norms_plot import plot_gradient_norms

    for path, table in tables.items():
        if not {"step", "grad_norm", "clipped_grad_norm"} <= set(table):
            continue
        norms, clipped = table["grad_norm"], table["clipped_grad_norm"]
        applied = table.get("applied", np.ones(len(norms))).astype(bool)
        figure = plot_gradient_norms(table["step"], norms, clipped, applied=applied)
        shares = (
            f"median {np.median(norms):.4g}, largest {norms.max():.4g}; {np.mean(clipped < norms):.0%} of the steps "
            f"clipped, {np.sum(~applied)} skipped"
        )
        yield f"Gradient norms ({path.name})", f"{image(figure)}<pre>{shares}</pre>"


def _gradients(model, x, y):
    from keras_vrnn.cli.diagnose import spectra_of
    from keras_vrnn.diagnostics import gradient_flow

    if y is not None and model.compiled:
        yield "How far back the gradient reaches", gradient_flow(model, x, y)._repr_html_()
    for spectrum in spectra_of(model, x):
        yield f"Recurrent kernel of {spectrum.name}", spectrum._repr_html_()


def _files_of(folder, model, x, y):
    from keras_vrnn import tflite

    for path in sorted(folder.glob("*.tflite")):
        yield path.name, tflite.verify(model, path, x, y)._repr_html_()
