"""Cutting text into words, and words into ids."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vrnn.text import PADDING, UNKNOWN, Vocabulary

TEXTS = ["A gem, a small gem!", "not a gem", "it isn't good"]


@pytest.fixture
def vocabulary():
    return Vocabulary(words=("a", "gem", "n't"), length=4, classes=("bad", "good"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It ISN'T good", ["it", "is", "n't", "good"]),
        ("the film's end", ["the", "film", "'s", "end"]),
        ("can’t", ["ca", "n't"]),  # the typographic apostrophe of telephones
        ("great!<br /><br />Really?", ["great", "!", "really", "?"]),
        ("in 1984, 10.5 stars", ["in", "0", "0", "0", "stars"]),
        ("naïve café — déjà_vu", ["naïve", "café", "déjà", "vu"]),
        ("... :-)", []),
    ],
)
def test_words_of_a_text(vocabulary, text, words):
    assert vocabulary.tokenize(text) == words


def test_case_can_be_kept(vocabulary):
    assert dataclasses.replace(vocabulary, lowercase=False).tokenize("A gem") == ["A", "gem"]


def test_most_frequent_words_get_the_first_ids_and_equals_stand_in_alphabetical_order():
    built = Vocabulary.build(TEXTS, size=6, max_length=10)
    assert built.words == ("a", "gem", "!", "good")
    assert len(built) == 6
    assert Vocabulary.build(TEXTS[::-1], size=6, max_length=10).words == built.words


def test_length_covers_the_usual_text_up_to_the_limit():
    texts = ["two words"] * 99 + ["word " * 1000]
    assert Vocabulary.build(texts, size=10, max_length=50).length == 2
    assert Vocabulary.build(["six words are in this text"], size=10, max_length=4).length == 4


def test_encoding_pads_at_the_end_and_marks_unknown_words(vocabulary):
    ids = vocabulary.encode(["A gem", "what a gem", "n't"])
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, [[2, 3, PADDING, PADDING], [UNKNOWN, 2, 3, PADDING], [4, 0, 0, 0]])
    assert vocabulary.encode([]).shape == (0, 4)


@pytest.mark.parametrize(("keep", "expected"), [("end", [2, 3, 2, 4]), ("start", [3, 2, 3, 2])])
def test_long_text_keeps_the_part_asked_for(vocabulary, keep, expected):
    cut = dataclasses.replace(vocabulary, keep=keep)
    np.testing.assert_array_equal(cut.encode(["gem a gem a n't"]), [expected])


@given(st.lists(st.text(), max_size=3))
def test_encoding_is_sound_for_any_text(texts):
    vocabulary = Vocabulary.build(TEXTS, size=6, max_length=5)
    texts = [text + " gem" for text in texts]
    ids = vocabulary.encode(texts)
    assert ids.shape == (len(texts), vocabulary.length)
    assert ((ids >= 0) & (ids < len(vocabulary))).all()
    # Padding only at the end: a mask with a hole would be no padding.
    assert (np.diff((ids == PADDING).astype(int), axis=1) >= 0).all()


def test_saved_vocabulary_loads_as_it_was(tmp_path, vocabulary):
    path = tmp_path / "vocabulary.json"
    changed = dataclasses.replace(vocabulary, words=("naïve", "\u2028"), keep="start", replace=(("x", "y"),))
    for original in (vocabulary, changed):
        original.save(path)
        assert Vocabulary.load(path) == original
    assert list(tmp_path.iterdir()) == [path]


def test_saved_vocabulary_states_every_rule(tmp_path, vocabulary):
    """A program in another language must find all it needs in the file."""
    vocabulary.save(tmp_path / "v.json")
    content = json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))
    assert {field.name for field in dataclasses.fields(Vocabulary)} < set(content)
    assert (content["padding"], content["unknown"]) == (PADDING, UNKNOWN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "v.json: not a vocabulary, expected JSON"),
        ("[1]", 'v.json: not a vocabulary, expected JSON with "format"'),
        ('{"format": "another"}', 'v.json: not a vocabulary, expected JSON with "format"'),
        ('{"format": "keras-vrnn vocabulary 1"}', "v.json: not a complete vocabulary, 'words' is missing"),
    ],
)
def test_file_that_is_no_vocabulary(tmp_path, content, message):
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        Vocabulary.load(tmp_path / "v.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"length": 0},
            "`length` must be a positive integer, the number of ids per text. Received: length=0",
        ),
        ({"length": 2.5}, "`length` must be a positive integer.* length=2.5"),
        (
            {"keep": "middle"},
            "`keep` must be one of 'start', 'end', the part of a long text.*keep='middle'",
        ),
        ({"words": ("a", "a")}, "`words` must hold each word once. Received: 'a' more than once"),
    ],
)
def test_bad_rules(vocabulary, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(vocabulary, **change)


def test_too_small_a_size():
    with pytest.raises(ValueError, match=r"`size` must be at least 3.* Received: size=2"):
        Vocabulary.build(TEXTS, size=2, max_length=10)


@pytest.mark.parametrize("texts", [[], ["...", ""]])
def test_texts_without_words(texts):
    with pytest.raises(
        ValueError, match=f"`texts` must hold at least one word. Received: {len(texts)} texts"
    ):
        Vocabulary.build(texts, size=10, max_length=10)


@pytest.mark.parametrize("text", ["", " \n", "... :-)"])
def test_text_without_words(vocabulary, text):
    with pytest.raises(ValueError, match=r"`texts\[1\]` must hold at least one word"):
        vocabulary.encode(["a gem", text])


def test_one_string_is_not_a_list_of_strings(vocabulary):
    with pytest.raises(
        TypeError, match=r"`texts` must be a list of strings. Received: texts='a gem'. Write encode"
    ):
        vocabulary.encode("a gem")


def test_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras']))\n"
        "from keras_vrnn.text import Vocabulary; print(Vocabulary(words=('a',), length=2).encode(['a b']).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[[2, 1]]\n", "")
