"""The picture of gradient norms over the steps of a training."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_vrnn import _pictures as pictures

# More lines than this cannot be told apart: those with the largest norms are drawn.
_MOST_VARIABLES = 10

# Points of a line. With more steps, a point stands for several: the line shows the largest of them, and a band reaches
# down to the smallest. A mean or a median would hide the spikes, and fall below the threshold where steps were clipped.
_POINTS = 600
# Fewer by variable: many lines that jump at every step cover each other.
_POINTS_BY_VARIABLE = 80


def plot_gradient_norms(
    steps: npt.ArrayLike,
    norms: npt.ArrayLike,
    clipped_norms: npt.ArrayLike,
    *,
    applied: npt.ArrayLike | None = None,
    variable_norms: Mapping[str, npt.ArrayLike] | None = None,
    settings: Any = None,
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Any:
    """Draws the global norm before and after clipping over the steps, and below it the norm of each variable.

    Where a point stands for several steps, lines show the largest norm and bands reach down to the smallest. Ticks at
    the upper edge mark clipped steps, crosses at the lower edge skipped ones.

    Args:
        steps: (steps,) numbers of the steps.
        norms: (steps,) global norms before clipping.
        clipped_norms: (steps,) global norms after clipping.
        applied: (steps,) bool, whether the update was made; None for all.
        variable_norms: norms before clipping by variable, each (steps,); None or empty for no lower panel.
        settings: the `GradientSettings` of the model, for the threshold line, or None.
        path: where to save the picture; its ending names the format. None to save nothing.
        title: heading, or None for one that counts the steps.
        overwrite: whether `path` may replace a file that exists.

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: There are no steps, or the ending of `path` is not that of a picture format.
        FileExistsError, OSError: `path` exists, or cannot be written.
        ImportError: matplotlib is not installed.
    """
    steps, norms, clipped_norms = (np.asarray(values) for values in (steps, norms, clipped_norms))
    if len(steps) == 0:
        raise ValueError("There are no gradient norms to plot: train with the GradientNorms callback first.")
    pictures.check_path(path, overwrite)
    figure_class, ticker = pictures.matplotlib()
    applied = np.ones(len(steps), bool) if applied is None else np.asarray(applied)
    panels = 2 if variable_norms else 1
    figure = figure_class(figsize=(9, 3.6 * panels), layout="constrained", dpi=130)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]

    _draw_global(axes[0], steps, norms, clipped_norms, applied, settings)
    if variable_norms:
        _draw_variables(axes[1], steps, variable_norms, settings)
    for axis in axes:
        axis.set_yscale("log")
        pictures.style(axis)
    axes[-1].set_xlabel("training step")
    axes[-1].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes[0].set_title(title or _title(steps, norms, clipped_norms, applied), loc="left", fontsize=11)
    pictures.save(figure, path, overwrite)
    return figure


def _draw_global(axis, steps, norms, clipped_norms, applied, settings):
    per_point = _per_point(len(steps), _POINTS)
    # The second line of the legend says what a line is.
    largest = "" if per_point == 1 else f",\nlargest of {per_point} steps"
    _draw_line(axis, steps, np.where(applied, norms, np.nan), f"before clipping{largest}", pictures.COLORS[1])
    if settings is not None and settings.thresholds:
        kept = np.where(applied, clipped_norms, np.nan)
        _draw_line(axis, steps, kept, f"after clipping{largest}", pictures.COLORS[0])
    if settings is not None and settings.global_clipnorm is not None:
        _draw_threshold(axis, "global_clipnorm", settings.global_clipnorm)
    _mark(axis, steps[applied & (clipped_norms < norms)], 1, "|", pictures.COLORS[1], "clipped")
    _mark(axis, steps[~applied], 0, "x", "black", "skipped: not finite")
    band = "" if per_point == 1 else f"\n(band: to the smallest of {per_point} steps)"
    axis.set_ylabel(f"global gradient norm{band}")
    pictures.legend_beside(axis)


def _draw_variables(axis, steps, variable_norms, settings):
    typical = {name: np.nanmedian(_positive(norms)) for name, norms in variable_norms.items() if _any(norms)}
    shown = sorted(typical, key=lambda name: typical[name], reverse=True)[:_MOST_VARIABLES]
    for i, name in enumerate(shown):
        _draw_line(axis, steps, variable_norms[name], _shortened(name), f"C{i}", points=_POINTS_BY_VARIABLE)
    if settings is not None and settings.clipnorm is not None:
        _draw_threshold(axis, "clipnorm", settings.clipnorm)
    hidden = len(variable_norms) - len(shown)
    per_point = _per_point(len(steps), _POINTS_BY_VARIABLE)
    largest = "" if per_point == 1 else f"\n(largest of {per_point} steps; band: to the smallest)"
    axis.set_ylabel(f"norm by variable, before clipping{largest}")
    title = f"largest {len(shown)} of {len(variable_norms)} variables" if hidden else None
    if shown:
        pictures.legend_beside(axis, fontsize=8, title=title, title_fontsize=8)


def _draw_threshold(axis, name, threshold):
    label = f"{name} = {threshold:g}"
    axis.axhline(threshold, color="0.15", linestyle="--", linewidth=1.2, label=label, zorder=4)


def _mark(axis, steps, height, marker, color, label):
    """Marks steps on the lower (0) or upper (1) edge, whatever the norms are."""
    if len(steps):
        # x in steps, y in parts of the axis.
        place = {"transform": axis.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        heights = np.full(len(steps), float(height))
        axis.plot(
            steps,
            heights,
            marker,
            color=color,
            markersize=6,
            label=f"{label} ({len(steps)})",
            **place,
        )


def _draw_line(axis, steps, values, label, color, points=_POINTS):
    x, low, high = _points(steps, _positive(values), _per_point(len(steps), points))
    if len(x) < len(steps):
        axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    # A lone step would be an invisible line.
    marker = "o" if np.isfinite(high).sum() == 1 else None
    axis.plot(x, high, color=color, linewidth=1.5, label=label, marker=marker, markersize=4)


def _per_point(steps, points):
    """Steps that a point stands for, so that there are at most `points` of them."""
    return -(-steps // points)


def _points(steps, values, per_point):
    """Middle of the steps of each point, and their smallest and largest value."""
    if per_point == 1:
        return steps, values, values
    starts = range(0, len(steps), per_point)
    middles = np.array([steps[start : start + per_point].mean() for start in starts])
    low, high = np.array([_extremes(values[start : start + per_point]) for start in starts]).T
    return middles, low, high


def _extremes(values):
    values = values[np.isfinite(values)]
    return (values.min(), values.max()) if len(values) else (np.nan, np.nan)


def _positive(values):
    """The values that a log axis can show; the rest becomes a gap."""
    values = np.asarray(values, float)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _any(values):
    return bool(np.isfinite(_positive(values)).any())


def _shortened(path):
    """The last three parts of a variable's path, without the name of the model."""
    return "/".join(path.split("/")[-3:])


def _title(steps, norms, clipped_norms, applied):
    changed = np.mean(clipped_norms[applied] < norms[applied]) if applied.any() else 0.0
    count = f"{len(steps)} step" + ("s" if len(steps) != 1 else "")
    return f"Gradient norms: {count}, {changed:.0%} clipped" + _skipped(applied)


def _skipped(applied):
    return "" if applied.all() else f", {np.sum(~applied)} skipped"
