"""From text to the integers a model reads: what a device needs, in pure Python and NumPy.

The rules stand in the JSON file beside the words, so that a program in another language can follow them.
"""

import collections
import dataclasses
import functools
import json
import pathlib
import re
from typing import Any

import numpy as np

from keras_vrnn import _files

PADDING, UNKNOWN = 0, 1
_FORMAT = "keras-vrnn vocabulary 1"

# Typographic apostrophes come with text from the web and from telephones. Mark-up goes. Every number is the
# same word, since the exact year or price seldom matters and is rarely seen twice.
_REPLACE = (("’", "'"), ("<[^<>]*>", " "), ("[0-9]+", "0"))
# "isn't" becomes "is" and "n't", so that the negation is one well-trained word; "!" and "?" carry feeling,
# other punctuation does not. Whatever the pattern skips is dropped.
_TOKEN = r"[^\W\d_]+(?=n't\b)|n't\b|'?[^\W\d_]+|0|[!?]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """word → id, and the rules that cut text into words.

    Id 0 pads, 1 stands for every unknown word, and `words[i]` has id i + 2. `Embedding` therefore
    needs `input_dim=len(vocabulary)`, and `mask_zero=True` skips the padding.

    Args:
        words: the known words, the most frequent first.
        length: ids per text. A shorter text is padded at its end, a longer one is cut as `keep` says.
        keep: "start" or "end": the part of a long text that stays. Reviews tend to conclude at the end.
        classes: names of the classes, in the order of the model's labels. May stay empty.
        lowercase: lower-case the text first.
        replace: pairs (regular expression, replacement), applied in order after lower-casing.
        token: regular expression whose matches are the words.
    """

    words: tuple[str, ...]
    length: int
    keep: str = "end"
    classes: tuple[str, ...] = ()
    lowercase: bool = True
    replace: tuple[tuple[str, str], ...] = _REPLACE
    token: str = _TOKEN

    def __post_init__(self):
        if isinstance(self.length, bool) or not isinstance(self.length, int) or self.length < 1:
            raise ValueError(f"length={self.length!r}: expected the number of ids per text, an integer ≥ 1.")
        if self.keep not in ("start", "end"):
            raise ValueError(
                f'keep={self.keep!r}: expected "start" or "end", the part of a long text that stays.'
            )
        if len(self._ids) != len(self.words):
            raise ValueError("words: a word appears more than once; each needs one id of its own.")

    @classmethod
    def build(cls, texts, *, size, max_length, **rules):
        """The most frequent words of `texts`, which should be the training part only.

        `length` becomes long enough for 49 texts in 50: a few very long texts should not cost every other
        one its time.

        Args:
            texts: strings to count words in.
            size: most ids in use, with padding and unknown: at least 3.
            max_length: upper bound of `length`.
            **rules: the other arguments of `Vocabulary`.
        """
        if size < 3:
            raise ValueError(f"size={size!r}: expected ≥ 3, since two ids are padding and unknown.")
        empty = cls(words=(), length=max_length, **rules)
        tokenized = [empty.tokenize(text) for text in texts]
        counts = collections.Counter(word for words in tokenized for word in words)
        if not counts:
            raise ValueError(
                f"texts: no word found in {len(tokenized)} texts with the pattern {empty.token!r}."
            )
        # Alphabetical among equals: the ids must not depend on the order of the texts.
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        usual = int(np.ceil(np.percentile([len(words) for words in tokenized], 98)))
        return dataclasses.replace(
            empty, words=tuple(ranked[: size - 2]), length=min(max(usual, 1), max_length)
        )

    def __len__(self):
        return len(self.words) + 2

    def tokenize(self, text):
        """The words of `text`, known or not."""
        if self.lowercase:
            text = text.lower()
        for pattern, replacement in self.replace:
            text = re.sub(pattern, replacement, text)
        return re.findall(self.token, text)

    def encode(self, texts):
        """Ids of shape (len(texts), length), int32.

        Raises:
            ValueError: a text holds no word at all; the model would be asked about nothing but padding.
        """
        if isinstance(texts, str):
            raise TypeError(
                f"texts={texts!r}: expected a list of strings, got one string; write encode([text])."
            )
        encoded = np.full((len(texts), self.length), PADDING, np.int32)
        for row, text in zip(encoded, texts, strict=True):
            ids = [self._ids.get(word, UNKNOWN) for word in self.tokenize(text)]
            if not ids:
                raise ValueError(f"text {text!r}: no word found in it.")
            ids = ids[: self.length] if self.keep == "start" else ids[-self.length :]
            row[: len(ids)] = ids
        return encoded

    def save(self, path):
        """Writes the words and rules as JSON, whole or not at all."""
        content = {"format": _FORMAT, "padding": PADDING, "unknown": UNKNOWN, **dataclasses.asdict(self)}
        with _files.replacing(path) as partial:
            partial.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote."""
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not a vocabulary, expected JSON ({error}).") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'{path}: not a vocabulary, expected JSON with "format": "{_FORMAT}".')
        names = [field.name for field in dataclasses.fields(cls)]
        if missing := [name for name in names if name not in content]:
            raise ValueError(f"{path}: not a whole vocabulary, {missing[0]!r} is missing.")
        rules: dict[str, Any] = {name: _as_tuple(content[name]) for name in names}
        return cls(**rules)

    @functools.cached_property
    def _ids(self):
        return {word: identity for identity, word in enumerate(self.words, start=2)}


def _as_tuple(value):
    """JSON knows lists only."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
