"""The picture of gradient norms over the steps of a training."""

import numpy as np

from keras_vrnn import _pictures as figures

# More lines than this cannot be told apart: those with the largest norms are drawn.
_MOST_VARIABLES = 10

# Columns of a picture: with more steps, a line shows the median of each column's steps, and a band their extremes.
_COLUMNS = 600
# Coarser by variable: many lines that jump at every step cover each other.
_COLUMNS_BY_VARIABLE = 80


def plot_gradient_norms(
    steps,
    norms,
    clipped_norms,
    *,
    applied=None,
    variable_norms=None,
    settings=None,
    path=None,
    title=None,
    overwrite=False,
):
    """Global norm before and after clipping over the steps, and below it the norm of each variable.

    Args:
        steps: (steps,) numbers of the steps.
        norms, clipped_norms: (steps,) global norms before and after clipping.
        applied: (steps,) bool, whether the update was made; None for all.
        variable_norms: norms before clipping by variable, each (steps,); None or empty for no lower panel.
        settings: `GradientSettings`, for the threshold line, or None.
        path: where to save the picture, in a format that the ending names; None to save nothing.
        title: heading, or None for one that counts the steps.
        overwrite: whether `path` may replace a file that exists.

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: There are no steps, or the ending of `path` names no format.
        FileExistsError, OSError: `path` exists, or cannot be written.
        ImportError: matplotlib is not installed.
    """
    if len(steps) == 0:
        raise ValueError("There are no gradient norms to plot: train with the GradientNorms callback first.")
    figures.check_path(path, overwrite)
    figure_class, ticker = figures.matplotlib()
    applied = np.ones(len(steps), bool) if applied is None else np.asarray(applied)
    panels = 2 if variable_norms else 1
    figure = figure_class(figsize=(9, 3.6 * panels), layout="constrained", dpi=130)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]

    _draw_global(axes[0], steps, norms, clipped_norms, applied, settings)
    if variable_norms:
        _draw_variables(axes[1], steps, variable_norms, settings)
    for axis in axes:
        axis.set_yscale("log")
        figures.style(axis)
    axes[-1].set_xlabel("training step")
    axes[-1].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes[0].set_title(title or _title(steps, norms, clipped_norms, applied), loc="left", fontsize=11)
    figures.save(figure, path, overwrite)
    return figure


def _draw_global(axis, steps, norms, clipped_norms, applied, settings):
    _draw_line(axis, steps, np.where(applied, norms, np.nan), "before clipping", figures.COLORS[1])
    if settings is not None and settings.thresholds:
        _draw_line(axis, steps, np.where(applied, clipped_norms, np.nan), "after clipping", figures.COLORS[0])
    if settings is not None and settings.global_clipnorm is not None:
        c = settings.global_clipnorm
        axis.axhline(
            c, color="0.15", linestyle="--", linewidth=1.2, label=f"global_clipnorm = {c:g}", zorder=4
        )
    if not applied.all():
        skipped = steps[~applied]
        # On the lower edge, whatever the norms are: x in steps, y in parts of the axis.
        place = {"transform": axis.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        label = f"skipped: not finite ({len(skipped)})"
        axis.plot(skipped, np.zeros(len(skipped)), "x", color="black", markersize=6, label=label, **place)
    axis.set_ylabel("global gradient norm")
    figures.legend_beside(axis)


def _draw_variables(axis, steps, variable_norms, settings):
    typical = {name: np.nanmedian(_positive(norms)) for name, norms in variable_norms.items() if _any(norms)}
    shown = sorted(typical, key=lambda name: typical[name], reverse=True)[:_MOST_VARIABLES]
    for i, name in enumerate(shown):
        _draw_line(axis, steps, variable_norms[name], _shortened(name), f"C{i}", columns=_COLUMNS_BY_VARIABLE)
    if settings is not None and settings.clipnorm is not None:
        c = settings.clipnorm
        axis.axhline(c, color="0.15", linestyle="--", linewidth=1.2, label=f"clipnorm = {c:g}", zorder=4)
    hidden = len(variable_norms) - len(shown)
    spread = "\n(median; band: extremes)" if len(steps) > _COLUMNS_BY_VARIABLE else ""
    axis.set_ylabel(f"norm by variable, before clipping{spread}")
    title = f"largest {len(shown)} of {len(variable_norms)} variables" if hidden else None
    if shown:
        figures.legend_beside(axis, fontsize=8, title=title, title_fontsize=8)


def _draw_line(axis, steps, values, label, color, columns=_COLUMNS):
    x, low, middle, high = _columns(np.asarray(steps), _positive(values), columns)
    if len(x) < len(steps):
        axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    # A lone step would be an invisible line.
    marker = "o" if np.isfinite(middle).sum() == 1 else None
    axis.plot(x, middle, color=color, linewidth=1.5, label=label, marker=marker, markersize=4)


def _columns(steps, values, columns):
    """At most so many columns of steps: their middle, and the least, median and greatest value."""
    if len(steps) <= columns:
        return steps, values, values, values
    parts = np.array_split(np.arange(len(steps)), columns)
    spreads = [_spread(values[part]) for part in parts]
    low, middle, high = np.array(spreads).T
    return np.array([steps[part].mean() for part in parts]), low, middle, high


def _spread(values):
    values = values[np.isfinite(values)]
    return (values.min(), np.median(values), values.max()) if len(values) else (np.nan,) * 3


def _positive(values):
    """What a log axis can show; the rest becomes a gap."""
    values = np.asarray(values, float)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _any(values):
    return bool(np.isfinite(_positive(values)).any())


def _shortened(path):
    """The last three parts of a variable's path: the model's own name says nothing."""
    return "/".join(path.split("/")[-3:])


def _title(steps, norms, clipped_norms, applied):
    changed = np.mean(clipped_norms[applied] < norms[applied]) if applied.any() else 0.0
    count = f"{len(steps)} step" + ("s" if len(steps) != 1 else "")
    return f"Gradient norms: {count}, {changed:.0%} clipped" + _skipped(applied)


def _skipped(applied):
    return "" if applied.all() else f", {np.sum(~applied)} skipped"
