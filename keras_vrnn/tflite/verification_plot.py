"""The picture of a verification. matplotlib (extra `plots`) is imported when one is drawn, not before."""

import os

import numpy as np


def plot(report, path=None):
    """Errors of the samples in order of size; errors of outputs and states over time.

    Args:
        report: the `Verification`.
        path: where to save the picture; None to save nothing.

    Returns:
        The matplotlib Figure.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which is not installed. Install it with: pip install 'keras-vrnn[plots]'."
        ) from error
    over_time = _over_time(report)
    figure = Figure(figsize=(9 if over_time else 5, 3.6), layout="constrained", dpi=130)
    axes = figure.subplots(1, 2 if over_time else 1, squeeze=False)[0]
    _draw_samples(axes[0], report)
    if over_time:
        for label, (steps, mean_error) in over_time.items():
            axes[1].plot(
                steps,
                mean_error,
                label=label,
                linewidth=1.5,
                marker="o" if len(steps) < 16 else None,
                markersize=3,
            )
        axes[1].set_xlabel("time step")
        axes[1].set_ylabel("mean absolute error")
        axes[1].set_title("over time", loc="left", fontsize=10)
        axes[1].legend(frameon=False, fontsize=8)
    for axis in axes:
        axis.set_ylim(bottom=0)
        axis.grid(True, color="0.9", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{report.path.name}: difference from Keras, {report.samples:,} samples", fontsize=11)
    if path is not None:
        figure.savefig(os.fspath(path))
    return figure


def _over_time(report):
    """Label -> (steps, mean error)."""
    lines = {
        f"output {name}": (np.arange(1, len(f.error_over_time) + 1), f.error_over_time)
        for name, f in report.outputs.items()
        if f.error_over_time is not None
    }
    return lines | {
        f"state of {name}": (state.steps, state.mean_error) for name, state in report.states.items()
    }


def _draw_samples(axis, report):
    errors = np.sort(report.sample_errors)
    share = np.arange(1, len(errors) + 1) / len(errors)
    axis.plot(share, errors, color="#4c72b0", linewidth=1.5)
    for n, largest in report.worst[:3]:
        position = np.searchsorted(errors, largest) / len(errors)
        axis.annotate(
            f"sample {n}",
            (position, largest),
            fontsize=7,
            ha="right",
            xytext=(-4, 0),
            textcoords="offset points",
        )
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the samples with a smaller error")
    axis.set_ylabel("largest error of a sample")
    axis.set_title("by sample", loc="left", fontsize=10)
