"""How the pictures of the report are drawn."""

import numpy as np

from keras_vrnn import _pictures


def curves(axis, found, every, title):
    """Draws the losses of every seed; a name of `found` keeps its color in all pictures of an experiment."""
    for color, (name, seeds) in zip(_pictures.COLORS, found.items(), strict=False):
        axis.plot([], [], color=color, label=name)
        for losses in seeds:
            updates = every * np.arange(1, len(losses) + 1)
            axis.plot(updates, losses, color=color, linewidth=1.2)
            axis.plot(updates[-1], losses[-1], "o", color=color, markersize=3)
    axis.set_yscale("log")
    axis.set_xlabel("updates")
    axis.set_title(title, loc="left", fontsize=10)
    _pictures.style(axis)


def legend(axis):
    _pictures.legend_beside(axis)
