"""Symbols of sequence-to-sequence models, such as letters and phones: ids and back, in pure Python and NumPy."""

import dataclasses
import functools
import json
import pathlib

import numpy as np

from keras_vrnn import _files

PADDING, START, END = 0, 1, 2
FIRST = 3  # id of the first symbol
_FORMAT = "keras-vrnn symbols 1"


@dataclasses.dataclass(frozen=True)
class Symbols:
    """symbol → id; 0 pads, 1 starts and 2 ends a sequence, and `symbols[i]` has id i + 3.

    An embedding or output layer therefore needs the size `len(symbols)`.

    Args:
        symbols: the symbols: strings, all different.
    """

    symbols: tuple[str, ...]

    def __post_init__(self):
        if not self.symbols:
            raise ValueError("symbols: expected at least one symbol, received none.")
        if len(self._ids) != len(self.symbols):
            raise ValueError("symbols: a symbol appears more than once; each needs one id of its own.")

    @classmethod
    def build(cls, sequences):
        """All symbols of some sequences (strings, or lists of strings), in sorted order."""
        return cls(tuple(sorted({symbol for sequence in sequences for symbol in sequence})))

    def __len__(self):
        return len(self.symbols) + FIRST

    def encode(self, sequences, length=None):
        """Ids without start and end, padded at the end, int32 of shape (len(sequences), length).

        Args:
            sequences: strings, or lists of strings.
            length: columns; by default as many as the longest sequence needs.

        Raises:
            ValueError: a sequence is empty, longer than `length`, or holds an unknown symbol.
        """
        if isinstance(sequences, str):
            raise TypeError(
                f"sequences={sequences!r}: expected a list, got one string; write encode([word])."
            )
        longest = max((len(sequence) for sequence in sequences), default=0)
        length = longest if length is None else length
        encoded = np.full((len(sequences), length), PADDING, np.int32)
        for row, sequence in zip(encoded, sequences, strict=True):
            if not 0 < len(sequence) <= length:
                raise ValueError(f"{sequence!r}: expected 1 to {length} symbols, received {len(sequence)}.")
            if unknown := [symbol for symbol in sequence if symbol not in self._ids]:
                raise ValueError(f"{sequence!r}: unknown symbol {unknown[0]!r}; known are {self._shown()}.")
            row[: len(sequence)] = [self._ids[symbol] for symbol in sequence]
        return encoded

    def decode(self, ids):
        """The symbols of a row of ids, up to its end token or padding, as a tuple."""
        found = []
        for identity in np.asarray(ids).tolist():
            if identity in (PADDING, END):
                break
            found.append(self.symbols[identity - FIRST])
        return tuple(found)

    def save(self, path):
        """Writes the symbols as JSON, whole or not at all."""
        content = {"format": _FORMAT, "padding": PADDING, "start": START, "end": END, "symbols": self.symbols}
        with _files.replacing(path) as partial:
            partial.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote."""
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not a file of symbols, expected JSON ({error}).") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT or "symbols" not in content:
            raise ValueError(f'{path}: not a file of symbols, expected JSON with "format": "{_FORMAT}".')
        return cls(tuple(content["symbols"]))

    @functools.cached_property
    def _ids(self):
        return {symbol: identity for identity, symbol in enumerate(self.symbols, start=FIRST)}

    def _shown(self):
        return " ".join(self.symbols[:50]) + (" …" if len(self.symbols) > 50 else "")
