"""What all pictures share. matplotlib (extra `plots`) is imported when a picture is drawn, not before."""

import os

from keras_vrnn import _files

# Colors of lines, in the order of use.
COLORS = (
    "#4c72b0",
    "#c44e52",
    "#55a868",
    "#8172b3",
    "#dd8452",
    "#64b5cd",
    "#937860",
    "#da8bc3",
    "#8c8c8c",
    "#ccb974",
)


def matplotlib():
    """(Figure, ticker); a bare Figure opens no window and leaves pyplot as it is, whatever backend a notebook has."""
    try:
        from matplotlib import ticker
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which is not installed. Install it with: pip install 'keras-vrnn[plots]'."
        ) from error
    return Figure, ticker


def style(axis):
    axis.grid(True, which="major", color="0.9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.01)


def legend_beside(axis, **options):
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    return axis.legend(**place, frameon=False, alignment="left", **{"fontsize": 9, **options})


def check_path(path, overwrite):
    """Raises unless a picture can be written to `path`; called before anything is drawn or measured."""
    if path is None:
        return
    figure_class, _ = matplotlib()
    formats = figure_class().canvas.get_supported_filetypes()
    if _format(path) not in formats:
        raise ValueError(
            f"`path` must end in the format of the picture, one of {', '.join(sorted(formats))}. "
            f"Received: path={os.fspath(path)!r}."
        )
    _files.check_writable(path, overwrite)


def save(figure, path, overwrite):
    """Writes the picture, if there is a path."""
    if path is None:
        return
    check_path(path, overwrite)
    with _files.replacing(path) as temporary:
        figure.savefig(temporary, format=_format(path))


def _format(path):
    return os.path.splitext(os.fspath(path))[1][1:].lower()
