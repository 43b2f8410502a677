"""What a model is for: the words and numbers that its `.tflite` file carries beside the weights.

Needs NumPy only.
"""

import json
import math
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vrnn import _checks as checks

_WORDS = ("name", "version")
_TEXTS = ("description", "author", "license", "training_data")
# C promises no string literal of more than 4,095 bytes, and a name is written with up to four characters for each.
_MOST_NAME_BYTES = 1000
_MOST_TEXT_BYTES = 65_535
# Characters that end a line, or are none: control characters, line separators, halves of a pair.
_NOT_PRINTED = ("Cc", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Card:
    """What a model is for, as its `.tflite` file tells it: `export(card=...)`, `describe`, `Runner.card`.

    A list stands for the only input or output of the model; a dictionary names them. In a card that was read from a
    file they are dictionaries.

    Args:
        name, version, description, author, license: of the model.
        training_data: what it was trained on.
        features: input -> the names of the values along its last axis.
        classes: output -> the names of the values along its last axis.
        mean, std: input -> one number for each value along its last axis, or one for all. The model was trained on
            (x − mean) / std, which neither the file nor `Runner` computes. Stored as float32.
        figures: what was measured, such as `Verification.figures`: name -> a number or a text.

    Raises:
        ValueError: a text is none or too long, a name occurs twice or has a line break, a number is not finite, a
            `std` is not positive.
    """

    name: str = ""
    version: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    training_data: str = ""
    features: Any = field(default_factory=dict)
    classes: Any = field(default_factory=dict)
    mean: Any = field(default_factory=dict)
    std: Any = field(default_factory=dict)
    figures: dict[str, float | str] = field(default_factory=dict)

    def __post_init__(self):
        for name in _WORDS:
            _check_text(name, getattr(self, name), _MOST_NAME_BYTES)
        for name in _TEXTS:
            _check_text(name, getattr(self, name), _MOST_TEXT_BYTES, "\n\t")
        changed = {name: _by_edge(name, getattr(self, name), _names) for name in ("features", "classes")}
        changed |= {name: _by_edge(name, getattr(self, name), _numbers) for name in ("mean", "std")}
        changed["figures"] = _figures(self.figures)
        for name, value in changed.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> "Card":
        """Reads a card from a JSON file, an object with the arguments as keys.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not JSON, or holds something else than a card.
        """
        if not os.path.isfile(path):
            received = f"card={os.fspath(path)!r}"
            raise FileNotFoundError(checks.message("card", "be a file that exists", received))
        try:
            held = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise checks.refused("card", "be a file of JSON", os.fspath(path), f"{error}.") from None
        known = [entry.name for entry in fields(cls)]
        if not isinstance(held, dict) or not set(held) <= set(known):
            keys = sorted(held) if isinstance(held, dict) else type(held).__name__
            raise ValueError(
                checks.message(
                    "card",
                    f"be a JSON object with keys among {known}",
                    f"card={os.fspath(path)!r} with {keys}",
                )
            )
        return cls(**held)

    def to_json(self) -> str:
        """Returns the card as JSON text, without what is empty."""
        return json.dumps({k: v for k, v in asdict(self).items() if v}, indent=2, ensure_ascii=False)

    def normalized(self, x: ArrayLike, name: str | None = None) -> np.ndarray:
        """Returns (x − mean) / std as float32, what the model takes for x.

        Args:
            x: readings, (..., features).
            name: the input; None for the only one that has `mean` and `std`.
        """
        if not (self.mean or self.std):
            raise ValueError("`normalized` needs a card with `mean` or `std`.")
        mean = _of(name, self.mean) if self.mean else (0.0,)
        std = _of(name, self.std) if self.std else (1.0,)
        return (np.asarray(x, np.float32) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)

    def likeliest(self, y: ArrayLike, name: str | None = None) -> Any:
        """Returns the name of the class with the highest output: a str, or an array of them.

        Args:
            y: outputs, (..., classes).
            name: the output; None for the only one that has `classes`.
        """
        names = np.array(_of(name, self.classes))
        values = np.asarray(y)
        if values.ndim == 0 or values.shape[-1] != len(names):
            raise ValueError(
                checks.message("y", f"have the shape (..., {len(names)})", f"shape {values.shape}")
            )
        found = names[values.argmax(axis=-1)]
        return str(found) if values.ndim == 1 else found

    def fitted(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> "Card":
        """Returns the card with dictionaries, after comparing it with the inputs and outputs of a file.

        Args:
            inputs, outputs: name -> the length of the last axis.

        Raises:
            ValueError: it names others, or has another number of names or numbers than the axis is long.
        """
        edges = {"features": inputs, "mean": inputs, "std": inputs, "classes": outputs}
        made = {name: _fitted(name, getattr(self, name), lengths) for name, lengths in edges.items()}
        for name in {**made["mean"], **made["std"]}:  # one stands for no change
            made["mean"].setdefault(name, (0.0,))
            made["std"].setdefault(name, (1.0,))
        return Card(**{entry.name: getattr(self, entry.name) for entry in fields(self)} | made)

    def __str__(self):
        lines = [
            f"{name.replace('_', ' '):15}{getattr(self, name)}"
            for name in _WORDS + _TEXTS
            if getattr(self, name)
        ]
        for name in ("features", "classes", "mean", "std"):
            held = getattr(self, name)
            for edge, values in held.items() if isinstance(held, dict) else [("", held)]:
                lines.append(f"{name:15}{edge + ': ' if edge else ''}{', '.join(map(str, values))}")
        lines += [f"{'figure':15}{name} {value}" for name, value in self.figures.items()]
        return "\n".join(lines)


def _check_text(name, value, most, allowed=""):
    if not isinstance(value, str):
        raise checks.refused(name, "be a text", value)
    found = [c for c in value if c not in allowed and unicodedata.category(c) in _NOT_PRINTED]
    if found:
        raise ValueError(checks.message(name, "be a text without control characters", f"{found[0]!r} in it"))
    size = len(value.encode())
    if size > most:
        raise ValueError(checks.message(name, f"have at most {most:,} bytes of UTF-8", f"{size:,} bytes"))


def _by_edge(name, value, converted):
    """Returns a list as a tuple, or a dictionary of lists as one of tuples."""
    if isinstance(value, Mapping):
        for edge in value:
            _check_text(name, edge, _MOST_TEXT_BYTES)
        return {edge: converted(name, listed) for edge, listed in value.items()}
    return converted(name, value)


def _listed(name, value, must):
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or not value:
        raise checks.refused(name, must, value)
    return value


def _names(name, value):
    listed = _listed(name, value, "be a list of names, or a dictionary of such lists")
    for item in listed:
        _check_text(name, item, _MOST_NAME_BYTES)
        if not item.strip():
            raise checks.refused(name, "hold names that are not blank", item)
    checks.distinct(name, listed, "hold different names")
    return tuple(listed)


def _numbers(name, value):
    if not isinstance(value, (Sequence, np.ndarray)) or np.ndim(value) == 0:
        value = [value]
    listed = _listed(name, value, "be a list of numbers, or a dictionary of such lists")
    made = []
    for item in listed:
        number = checks.number(name, item)
        with np.errstate(over="ignore", under="ignore"):
            stored = np.float32(number)
        if not np.isfinite(stored) or (name == "std" and not stored > 0):
            raise checks.refused(name, f"be {'positive ' * (name == 'std')}numbers that float32 holds", item)
        made.append(float(str(stored)))  # the shortest decimal of the float32: 0.1, not 0.10000000149
    return tuple(made)


def _figures(value):
    if not isinstance(value, Mapping):
        raise checks.refused("figures", "be a dictionary name -> number or text", value)
    made: dict[str, float | str] = {}
    for name, figure in value.items():
        _check_text("figures", name, _MOST_NAME_BYTES)
        if isinstance(figure, str):
            _check_text("figures", figure, _MOST_TEXT_BYTES)
            made[name] = figure
            continue
        whole = checks.as_integer(figure)
        if whole is not None and abs(whole) >= 1 << 63:
            raise checks.refused("figures", f"hold numbers of 64 bits, as {name!r}", figure)
        if whole is None and (isinstance(figure, (bool, np.bool_)) or not _is_finite(figure)):
            raise checks.refused("figures", f"hold finite numbers or texts, as {name!r}", figure)
        made[name] = float(figure) if whole is None else whole
    return made


def _is_finite(value):
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def _of(name, held):
    """Returns the values of an input or output; None stands for the only one."""
    known = held if isinstance(held, dict) else {None: held}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name not in known:
        raise checks.refused("name", f"be one of {list(known)}, which the card describes", name)
    return known[name]


def _fitted(name, value, lengths):
    if not isinstance(value, dict):
        if len(lengths) != 1:
            raise ValueError(
                checks.message(name, f"be a dictionary with keys among {list(lengths)}", f"{name}={value!r}")
            )
        value = {next(iter(lengths)): value}
    for edge, values in value.items():
        if edge not in lengths:
            raise ValueError(checks.message(name, f"have keys among {list(lengths)}", f"{edge!r}"))
        expected = {lengths[edge]} | ({1} if name in ("mean", "std") else set())
        if len(values) not in expected:
            counts = " or ".join(map(str, sorted(expected)))
            raise ValueError(
                checks.message(
                    name, f"have {counts} values for {edge!r}, the length of its last axis", f"{len(values)}"
                )
            )
    return value
