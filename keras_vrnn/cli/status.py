"""Exit status, and what all commands do about a bar that was missed."""

import sys

DONE, MISSED, REFUSED = 0, 1, 2


def hold(command, bars):
    """Prints a line for each bar that was missed; returns the exit status.

    Args:
        command: the command's name.
        bars: (figure's name, its value, the bar or None, whether more is better). None for a value that the file
            can't have.

    Raises:
        ValueError: a bar is set for a figure that there is not.
    """
    missed = []
    for name, value, bar, more_is_better in bars:
        if bar is None:
            continue
        if value is None:
            raise ValueError(f"{name}: there is no such figure for this file, so that no bar can be set.")
        if value < bar if more_is_better else value > bar:
            side = "below" if more_is_better else "above"
            missed.append(f"{name} {value:.6g} is {side} {bar:.6g}")
    for line in missed:
        print(f"keras-vrnn {command}: {line}", file=sys.stderr)
    return MISSED if missed else DONE
