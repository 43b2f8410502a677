"""Checks of arguments: one grammar for every message, raised before any work starts.

    `name` must <be what is expected>. Received: name=<value>. <What to do, where it is not obvious.>

A value too large to print is replaced by what matters about it ("Received: shape (3, 4)."). Each function returns
the checked value in its plain type (an int, a float, a bool), or raises `ValueError`. Keras clamps, ignores or fails
far from the cause in most of these cases.

Needs neither Keras nor TensorFlow, so that the code that runs on a device can use it.
"""

import math
import operator
from collections.abc import Collection, Sequence
from typing import Any


def message(name: str, must: str, received: str, fix: str = "") -> str:
    """The text of an error, in the grammar above; `must` starts with a verb, such as "be True or False"."""
    return f"`{name}` must {must}. Received: {received}.{' ' if fix else ''}{fix}"


def refused(name: str, must: str, value: Any, fix: str = "") -> ValueError:
    """The error for an argument whose value can be printed."""
    return ValueError(message(name, must, f"{name}={value!r}", fix))


def as_integer(value: Any) -> int | None:
    """`value` as an int, or None if it is not an integer; True and False are flags, not numbers."""
    if type(value).__name__ in ("bool", "bool_"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def positive_int(name: str, value: Any, meaning: str = "", fix: str = "") -> int:
    """`value` as an int ≥ 1; Python's and NumPy's integers pass.

    Args:
        name, value: The argument.
        meaning: What the number counts, for the message.
        fix: What to do, for the message.
    """
    must = f"be a positive integer{', ' if meaning else ''}{meaning}"
    number = as_integer(value)
    if number is None or number < 1:
        raise refused(name, must, value, fix)
    return number


def positive_ints(name: str, value: Any) -> list[int]:
    """`value`, an integer ≥ 1 or a list with one per layer, as a list."""
    sizes = list(value) if isinstance(value, (list, tuple)) else [value]
    if not sizes:
        raise refused(name, "be a positive integer, or a list with one per layer", value)
    return [positive_int(name, size) for size in sizes]


def seed(name: str, value: Any) -> int | None:
    """`value` as an int, or None."""
    number = as_integer(value)
    if value is not None and number is None:
        raise refused(name, "be an integer or None", value)
    return number


def number(name: str, value: Any, at_least: float | None = None, above: float | None = None) -> float:
    """`value` as a finite float within bounds."""
    bound = f" ≥ {at_least:g}" if at_least is not None else f" > {above:g}" if above is not None else ""
    found = _real(value)
    low = (at_least is not None and found < at_least) or (above is not None and found <= above)
    if not math.isfinite(found) or low:
        raise refused(name, f"be a finite number{bound}", value)
    return found


def fraction(name: str, value: Any, meaning: str, *, below_one: bool = False) -> float:
    """`value` as a float in [0, 1], or in [0, 1) with `below_one`; nothing is clamped."""
    found = _real(value)
    if not (0 <= found < 1 if below_one else 0 <= found <= 1):
        interval = "[0, 1)" if below_one else "[0, 1]"
        raise refused(name, f"be a number in {interval}, {meaning}", value)
    return found


def rate(name: str, value: Any) -> float:
    """`value` as a dropout rate in [0, 1]; Keras clamps 1.7 to 1 without a warning."""
    return fraction(name, value, "the fraction of the units to drop")


def shares(name: str, value: Sequence[float]) -> tuple[float, ...]:
    """`value` as positive numbers that sum to 1."""
    found = tuple(map(_real, value))
    # 1e-9: the rounding of a few decimal fractions.
    if not found or not min(found) > 0 or abs(sum(found) - 1) > 1e-9:
        raise refused(name, "be positive shares that sum to 1", value)
    return found


def flag(name: str, value: Any) -> bool:
    """`value` as a bool."""
    # A string such as "False" is truthy: it would switch the option on.
    if type(value).__name__ in ("bool", "bool_") or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise refused(name, "be True or False", value)


def one_of(name: str, value: Any, choices: Collection[Any], meaning: str = "") -> Any:
    """`value`, one of the `choices`.

    Args:
        name, value: The argument.
        choices: What may be chosen.
        meaning: What is chosen, for the message.
    """
    # An unhashable or array-like value is not a choice, and `in` would fail on some of them.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        listed = ", ".join(map(repr, choices))
        raise refused(name, f"be one of {listed}{', ' if meaning else ''}{meaning}", value)
    return value


def distinct(name: str, value: Collection[Any], must: str) -> None:
    """Raises unless all items of `value` differ."""
    seen = set()
    for item in value:
        if item in seen:
            raise ValueError(message(name, must, f"{item!r} more than once"))
        seen.add(item)


def _real(value):
    """`value` as a float, or NaN if it is not a number."""
    if isinstance(value, str) or type(value).__name__ in ("bool", "bool_"):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
