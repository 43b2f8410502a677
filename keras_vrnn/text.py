"""From text to the integers that a model reads, in pure Python and NumPy, as a device needs it.

The JSON file holds the rules beside the words, so that a program in another language can follow them.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn import _files

__all__ = [
    "PADDING",
    "UNKNOWN",
    "Vocabulary",
]


def __dir__() -> list[str]:
    return __all__


PADDING, UNKNOWN = 0, 1
_FORMAT = "keras-vrnn vocabulary 1"

# Text from the web and from phones has typographic apostrophes. Mark-up is removed. Every number becomes the same
# word, because the exact year or price seldom matters and rarely appears twice.
_REPLACE = (("’", "'"), ("<[^<>]*>", " "), ("[0-9]+", "0"))
# "isn't" becomes "is" and "n't", so that the negation is one well-trained word; "!" and "?" carry feeling, other
# punctuation does not. Characters that the pattern skips are dropped.
_TOKEN = r"[^\W\d_]+(?=n't\b)|n't\b|'?[^\W\d_]+|0|[!?]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A table from words to ids, with the rules that cut text into words.

    Id 0 is padding, 1 stands for every unknown word, and `words[i]` has id i + 2. `Embedding` therefore needs
    `input_dim=len(vocabulary)`, and `mask_zero=True` skips the padding.

    Args:
        words: The known words, the most frequent first.
        length: Number of ids per text. A shorter text is padded at its end, a longer one is cut.
        keep: "start" or "end": the part of a long text that stays. Reviews tend to conclude at the end.
        classes: Names of the classes, in the order of the model's labels. May stay empty.
        lowercase: Whether to lower-case the text first.
        replace: Pairs (regular expression, replacement), applied in order after lower-casing.
        token: Regular expression whose matches are the words.
    """

    words: tuple[str, ...]
    length: int
    keep: str = "end"
    classes: tuple[str, ...] = ()
    lowercase: bool = True
    replace: tuple[tuple[str, str], ...] = _REPLACE
    token: str = _TOKEN

    def __post_init__(self) -> None:
        # A plain int, because JSON takes no other.
        length = checks.positive_int("length", self.length, "the number of ids per text")
        object.__setattr__(self, "length", length)
        checks.one_of("keep", self.keep, ("start", "end"), "the part of a long text that stays")
        checks.distinct("words", self.words, "hold each word once")

    @classmethod
    def build(cls, texts: Iterable[str], *, size: int, max_length: int, **rules: Any) -> Vocabulary:
        """Makes a vocabulary of the most frequent words of `texts`, which should be the training part only.

        `length` is chosen to hold 49 of 50 texts: a few very long texts should not slow down all others.

        Args:
            texts: Strings to count words in.
            size: Largest number of ids, including padding and unknown: at least 3.
            max_length: Upper bound of `length`.
            **rules: The other arguments of `Vocabulary`.
        """
        if checks.positive_int("size", size) < 3:
            raise checks.refused("size", "be at least 3, because two ids are padding and unknown", size)
        checks.positive_int("max_length", max_length)
        empty = cls(words=(), length=max_length, **rules)
        tokenized = [empty.tokenize(text) for text in texts]
        counts = collections.Counter(word for words in tokenized for word in words)
        if not counts:
            received = f"{len(tokenized)} texts without a match of the pattern {empty.token!r}"
            raise ValueError(checks.message("texts", "hold at least one word", received))
        # Equally frequent words are in alphabetical order: the ids must not depend on the order of the texts.
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        usual = int(np.ceil(np.percentile([len(words) for words in tokenized], 98)))
        return dataclasses.replace(
            empty, words=tuple(ranked[: size - 2]), length=min(max(usual, 1), max_length)
        )

    def __len__(self) -> int:
        return len(self.words) + 2

    def tokenize(self, text: str) -> list[str]:
        """The words of `text`, known or not."""
        if self.lowercase:
            text = text.lower()
        for pattern, replacement in self.replace:
            text = re.sub(pattern, replacement, text)
        return re.findall(self.token, text)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Ids of shape (len(texts), length), int32.

        Raises:
            ValueError: A text holds no word at all, so that the model would read nothing but padding.
            TypeError: `texts` is a single string.
        """
        if isinstance(texts, str):
            fix = "Write encode([text])."
            raise TypeError(checks.message("texts", "be a list of strings", f"texts={texts!r}", fix))
        encoded = np.full((len(texts), self.length), PADDING, np.int32)
        for n, (row, text) in enumerate(zip(encoded, texts, strict=True)):
            ids = [self._ids.get(word, UNKNOWN) for word in self.tokenize(text)]
            if not ids:
                raise ValueError(checks.message(f"texts[{n}]", "hold at least one word", repr(text)))
            ids = ids[: self.length] if self.keep == "start" else ids[-self.length :]
            row[: len(ids)] = ids
        return encoded

    def save(self, path: str | os.PathLike) -> None:
        """Writes the words and rules as JSON; the file is complete or not written at all."""
        content = {"format": _FORMAT, "padding": PADDING, "unknown": UNKNOWN, **dataclasses.asdict(self)}
        with _files.replacing(path) as partial:
            partial.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Vocabulary:
        """Reads a file that `save` wrote."""
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not a vocabulary, expected JSON ({error}).") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'{path}: not a vocabulary, expected JSON with "format": "{_FORMAT}".')
        names = [field.name for field in dataclasses.fields(cls)]
        if missing := [name for name in names if name not in content]:
            raise ValueError(f"{path}: not a complete vocabulary, {missing[0]!r} is missing.")
        rules: dict[str, Any] = {name: _as_tuple(content[name]) for name in names}
        return cls(**rules)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {word: identity for identity, word in enumerate(self.words, start=2)}


def _as_tuple(value):
    """Lists of JSON as tuples."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
