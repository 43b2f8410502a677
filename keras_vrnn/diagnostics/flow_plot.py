"""The picture of gradient flow: how the norm falls off, step by step back from the end."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vrnn import _pictures as pictures
from keras_vrnn.diagnostics.flow import GradientFlow
from keras_vrnn.diagnostics.verdict import GONE


def plot_gradient_flow(
    flows: GradientFlow | Mapping[str, GradientFlow],
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Any:
    """Draws what each recurrence carries back, relative to the last step, on a log axis; a dot marks each horizon.

    Args:
        flows: a `GradientFlow`, or several by name for one picture of several models.
        path: where to save the picture; its ending names the format. None to save nothing.
        title: heading; None for a default.
        overwrite: whether `path` may replace a file that exists.

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: There is nothing to draw, or the ending of `path` is not that of a picture format.
        FileExistsError, OSError: `path` exists, or cannot be written.
        ImportError: matplotlib is not installed.
    """
    lines = _lines(flows)
    if not lines:
        raise ValueError(f"`flows` must hold at least one GradientFlow. Received: flows={flows!r}.")
    pictures.check_path(path, overwrite)
    figure_class, ticker = pictures.matplotlib()
    figure = figure_class(figsize=(9, 4.2), layout="constrained", dpi=130)
    axis = figure.subplots()
    for i, (label, layer) in enumerate(lines):
        linestyle = "-" if i < len(pictures.COLORS) else "--"
        _draw(axis, label, layer, pictures.COLORS[i % len(pictures.COLORS)], linestyle)
    axis.axhline(GONE, color="0.15", linestyle="--", linewidth=1.0, label=f"{GONE:.0%}", zorder=1)
    axis.set_yscale("log")
    axis.set_xlabel("time steps back from the last one")
    axis.set_ylabel("gradient norm, relative to the last step")
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axis.set_title(title or "How far back the gradient reaches", loc="left", fontsize=11)
    pictures.style(axis)
    pictures.legend_beside(axis)
    pictures.save(figure, path, overwrite)
    return figure


def _lines(flows):
    if not isinstance(flows, Mapping):
        return [(layer.name, layer) for layer in flows.layers]
    return [
        (name if len(flow.layers) == 1 else f"{name}: {layer.name}", layer)
        for name, flow in flows.items()
        for layer in flow.layers
    ]


def _draw(axis, label, layer, color, linestyle):
    drawable = np.where(np.isfinite(layer.decay) & (layer.decay > 0), layer.decay, np.nan)
    reach = f"{layer.horizon} steps" if layer.horizon < layer.steps else f"all {layer.steps} steps"
    # A lone step would be an invisible line.
    marker = "o" if np.isfinite(drawable).sum() == 1 else None
    axis.plot(
        drawable, color=color, linestyle=linestyle, linewidth=1.6, label=f"{label}: {reach}", marker=marker
    )
    if layer.horizon < layer.steps and np.isfinite(drawable[layer.horizon]):
        axis.plot(layer.horizon, drawable[layer.horizon], "o", color=color, markersize=5, zorder=3)
