"""Symbols of sequence-to-sequence models, such as letters and phones, to ids and back, in pure Python and NumPy."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn import _files

PADDING, START, END = 0, 1, 2
FIRST = 3  # id of the first symbol
_FORMAT = "keras-vrnn symbols 1"


@dataclasses.dataclass(frozen=True)
class Symbols:
    """A table from symbols to ids.

    Id 0 is padding, 1 starts and 2 ends a sequence, and `symbols[i]` has id i + 3. An embedding or output layer
    therefore needs the size `len(symbols)`.

    Args:
        symbols: The symbols: strings, all different.
    """

    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.symbols:
            raise checks.refused("symbols", "hold at least one symbol", self.symbols)
        checks.distinct("symbols", self.symbols, "hold each symbol once")

    @classmethod
    def build(cls, sequences: Iterable[Sequence[str]]) -> Symbols:
        """Makes a table of all symbols in some sequences (strings, or lists of strings), in sorted order."""
        return cls(tuple(sorted({symbol for sequence in sequences for symbol in sequence})))

    def __len__(self) -> int:
        return len(self.symbols) + FIRST

    def encode(self, sequences: Sequence[Sequence[str]], length: int | None = None) -> np.ndarray:
        """Ids without start and end, padded at the end, int32 of shape (len(sequences), length).

        Args:
            sequences: Strings, or lists of strings.
            length: Number of columns; by default the length of the longest sequence.

        Raises:
            ValueError: A sequence is empty, longer than `length`, or holds an unknown symbol.
            TypeError: `sequences` is a single string.
        """
        if isinstance(sequences, str):
            fix = "Write encode([word])."
            received = f"sequences={sequences!r}"
            raise TypeError(checks.message("sequences", "be a list of sequences", received, fix))
        longest = max((len(sequence) for sequence in sequences), default=0)
        length = longest if length is None else checks.positive_int("length", length)
        encoded = np.full((len(sequences), length), PADDING, np.int32)
        for n, (row, sequence) in enumerate(zip(encoded, sequences, strict=True)):
            name = f"sequences[{n}]"
            if not 0 < len(sequence) <= length:
                received = f"{sequence!r} of length {len(sequence)}"
                raise ValueError(checks.message(name, f"have 1 to {length} symbols", received))
            if unknown := [symbol for symbol in sequence if symbol not in self._ids]:
                received = f"{unknown[0]!r} in {sequence!r}"
                raise ValueError(checks.message(name, f"hold known symbols, {self._shown()}", received))
            row[: len(sequence)] = [self._ids[symbol] for symbol in sequence]
        return encoded

    def decode(self, ids: Any) -> tuple[str, ...]:
        """The symbols of a row of ids, up to its end token or padding."""
        found = []
        for identity in np.asarray(ids).tolist():
            if identity in (PADDING, END):
                break
            found.append(self.symbols[identity - FIRST])
        return tuple(found)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the symbols as JSON; the file is complete or not written at all."""
        content = {"format": _FORMAT, "padding": PADDING, "start": START, "end": END, "symbols": self.symbols}
        with _files.replacing(path) as partial:
            partial.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Symbols:
        """Reads a file that `save` wrote."""
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not a file of symbols, expected JSON ({error}).") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT or "symbols" not in content:
            raise ValueError(f'{path}: not a file of symbols, expected JSON with "format": "{_FORMAT}".')
        return cls(tuple(content["symbols"]))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: identity for identity, symbol in enumerate(self.symbols, start=FIRST)}

    def _shown(self) -> str:
        return " ".join(self.symbols[:50]) + (" …" if len(self.symbols) > 50 else "")
