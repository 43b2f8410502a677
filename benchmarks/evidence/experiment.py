"""What every experiment states, and what it returns."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# Figures by part and seed: {"FastRNN, 100 steps": {"0": {"loss": 0.01}, "1": …}}.
Figures = Mapping[str, Mapping[str, dict]]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        head: names of the columns.
        rows: cells, as many in each row as there are columns.
        caption: what the table holds, or "" if the experiment has said it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def markdown(self) -> str:
        lines = [self.caption, ""] if self.caption else []
        lines += [f"| {' | '.join(self.head)} |", "|---" * len(self.head) + "|"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One claim and how it is measured.

    Attributes:
        name: its name on the command line and in the results.
        title: heading of its section.
        claim: what the documentation says, in one sentence.
        setting: what is measured, and how it is scaled down.
        chance: what a model scores that has learned nothing, or "" where nothing is learned.
        published: figures that others have published, each with its source; may be empty.
        seeds: seeds of a full run; a quick one takes the first.
        parts: (quick) → {name of a part: arguments of `measure`}, in the order of measurement.
        measure: (*arguments, seed=, quick=) → figures of one part and seed, which JSON can hold.
        tables: figures → tables. Parts may be missing.
        reading: figures → sentences about them.
        draw: (figures, matplotlib Figure) → None; None for an experiment without a picture.
    """

    name: str
    title: str
    claim: str
    setting: str
    parts: Callable[[bool], Mapping[str, tuple]]
    measure: Callable[..., dict]
    tables: Callable[[Figures], Sequence[Table]]
    reading: Callable[[Figures], Sequence[str]] = lambda figures: ()
    chance: str = ""
    published: Sequence[tuple[str, str]] = ()
    seeds: Sequence[int] = (0, 1, 2)
    draw: Callable[[Figures, Any], None] | None = None

    def missing(self, figures: Figures, quick: bool) -> list[tuple[str, int]]:
        """The (part, seed) that are not measured."""
        return [
            (part, seed)
            for part in self.parts(quick)
            for seed in self.seeds[: 1 if quick else None]
            if str(seed) not in figures.get(part, {})
        ]


def values(figures: Figures, part: str, key: str) -> np.ndarray:
    """The figure `key` of each seed of a part; empty if the part is missing."""
    return np.array([each[key] for each in figures.get(part, {}).values()])


def spread(found: np.ndarray, form: str = ".4f", unit: str = "") -> str:
    """Mean and standard deviation over the seeds as text; "missing" where nothing was measured."""
    if not len(found):
        return "missing"
    return f"{np.mean(found):{form}} ± {np.std(found):{form}}{unit}"


def names(found: Sequence[str]) -> str:
    """A list in a sentence; its members may have commas."""
    return "; ".join(found) or "none"
