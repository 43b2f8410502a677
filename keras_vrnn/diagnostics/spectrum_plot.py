"""The picture of a recurrent kernel: its singular values, and the norms of the Jacobians on data."""

import os
from typing import Any

import numpy as np

from keras_vrnn import _pictures as pictures
from keras_vrnn.diagnostics.jacobians import Spectrum


def plot_spectrum(
    spectrum: Spectrum,
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Any:
    """Draws singular values and magnitudes of eigenvalues of W_h; below, with data, the norms of the Jacobians.

    Args:
        spectrum: a `Spectrum`.
        path: where to save the picture; its ending names the format. None to save nothing.
        title: heading; None for the layer's name.
        overwrite: whether `path` may replace a file that exists.

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: The ending of `path` is not that of a picture format.
        FileExistsError, OSError: `path` exists, or cannot be written.
        ImportError: matplotlib is not installed.
    """
    pictures.check_path(path, overwrite)
    figure_class, ticker = pictures.matplotlib()
    panels = 1 if spectrum.jacobian_norms is None else 2
    figure = figure_class(figsize=(9, 3.6 * panels), layout="constrained", dpi=130)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]

    numbers = np.arange(1, len(spectrum.singular_values) + 1)
    axes[0].plot(
        numbers,
        spectrum.singular_values,
        "o-",
        markersize=3,
        color=pictures.COLORS[0],
        label="singular values",
    )
    axes[0].plot(
        numbers,
        abs(spectrum.eigenvalues),
        "s-",
        markersize=3,
        color=pictures.COLORS[1],
        label="magnitudes of eigenvalues",
    )
    axes[0].axhline(1.0, color="0.15", linestyle="--", linewidth=1.0)
    axes[0].set_xlabel("number, from the largest")
    axes[0].set_ylabel("W_h")
    if panels == 2:
        _draw_jacobians(axes[1], spectrum)
    for axis in axes:
        axis.set_ylim(0, 1.08 * axis.dataLim.ymax)
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        pictures.style(axis)
        pictures.legend_beside(axis)
    axes[0].set_title(title or f"Spectrum of {spectrum.name}", loc="left", fontsize=11)
    pictures.save(figure, path, overwrite)
    return figure


def _draw_jacobians(axis, spectrum):
    norms = spectrum.jacobian_norms
    steps = np.flatnonzero(np.isfinite(norms).any(axis=0))
    norms = norms[:, steps]
    color = pictures.COLORS[0]
    axis.fill_between(
        steps + 1,
        np.nanmin(norms, 0),
        np.nanmax(norms, 0),
        color=color,
        alpha=0.15,
        linewidth=0,
        label="extremes",
    )
    axis.plot(steps + 1, np.nanmedian(norms, 0), color=color, linewidth=1.5, label="median")
    if spectrum.bound is not None:
        axis.axhline(
            spectrum.bound,
            color="0.15",
            linestyle="--",
            linewidth=1.0,
            label=f"{spectrum.bound_formula} = {spectrum.bound:.3g}",
        )
    axis.axhline(np.exp(spectrum.lyapunov), color=pictures.COLORS[1], linewidth=1.0, label="e^λ, Lyapunov")
    axis.set_xlabel("time step, in the order of processing")
    axis.set_ylabel("‖∂h_t/∂h_(t−1)‖")
