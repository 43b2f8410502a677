"""Exit status, and thresholds, which all commands treat alike."""

import math
import sys

DONE, MISSED, REFUSED = 0, 1, 2


def threshold(text):
    """Returns a number given on the command line; NaN, which nothing exceeds, and infinity are refused."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def hold(command, thresholds):
    """Prints a line for each threshold that is not met, and returns the exit status.

    Args:
        command: the command's name.
        thresholds: (name, value, threshold or None, whether more is better). A value is None if the file can't have
            it; NaN meets no threshold.

    Raises:
        ValueError: a threshold is set for a value that the file can't have.
    """
    missed = []
    for name, value, limit, more_is_better in thresholds:
        if limit is None:
            continue
        if value is None:
            raise ValueError(f"{name}: not available for this file, so it can't have a threshold.")
        if not (value >= limit if more_is_better else value <= limit):
            side = "below" if more_is_better else "above"
            missed.append(f"{name} {value:.6g} is {side} {limit:.6g}")
    for line in missed:
        print(f"keras-vrnn {command}: {line}", file=sys.stderr)
    return MISSED if missed else DONE
