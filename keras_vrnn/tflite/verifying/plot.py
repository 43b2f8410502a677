"""The picture of a verification: errors by sample, and over time."""

import numpy as np

from keras_vrnn import _pictures as pictures

# A line with fewer points than this marks each of them.
_FEW = 16


def plot(report, path=None, overwrite=False):
    """Draws the errors of the samples in order of size, and the errors of outputs and states over time.

    Args:
        report: the `Verification`.
        path: where to save the picture; None to save nothing.
        overwrite: whether `path` may replace an existing file.

    Returns:
        The matplotlib Figure.
    """
    pictures.check_path(path, overwrite)
    figure_class, _ = pictures.matplotlib()
    over_time = _over_time(report)
    figure = figure_class(figsize=(9 if over_time else 5, 3.6), layout="constrained", dpi=130)
    axes = figure.subplots(1, 2 if over_time else 1, squeeze=False)[0]
    _draw_samples(axes[0], report)
    if over_time:
        _draw_over_time(axes[1], over_time)
    for axis in axes:
        pictures.style(axis)
        axis.set_ylim(bottom=0)
    figure.suptitle(f"{report.path.name}: difference from Keras, {report.samples:,} samples", fontsize=11)
    pictures.save(figure, path, overwrite)
    return figure


def _over_time(report):
    """Returns label -> (steps, mean error)."""
    lines = {
        f"output {name}": (np.arange(1, len(output.error_over_time) + 1), output.error_over_time)
        for name, output in report.outputs.items()
        if output.error_over_time is not None
    }
    return lines | {
        f"state of {name}": (state.steps, state.mean_error) for name, state in report.states.items()
    }


def _draw_samples(axis, report):
    errors = np.sort(report.sample_errors)
    axis.plot(np.arange(1, len(errors) + 1) / len(errors), errors, color=pictures.COLORS[0], linewidth=1.5)
    for n, largest in report.worst[:3]:
        place = (np.searchsorted(errors, largest) / len(errors), largest)
        axis.annotate(f"sample {n}", place, (-4, 0), textcoords="offset points", fontsize=7, ha="right")
    axis.set_xlabel("share of samples with a smaller error")
    axis.set_ylabel("largest error in the sample")
    axis.set_title("by sample", loc="left", fontsize=10)


def _draw_over_time(axis, lines):
    for (label, (steps, mean_error)), color in zip(lines.items(), pictures.COLORS * len(lines), strict=False):
        marker = "o" if len(steps) < _FEW else None
        axis.plot(steps, mean_error, label=label, color=color, linewidth=1.5, marker=marker, markersize=3)
    axis.set_xlabel("time step")
    axis.set_ylabel("mean absolute error")
    axis.set_title("over time", loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=8)
