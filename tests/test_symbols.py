"""Symbols to ids and back."""

import json

import pytest

import keras_vrnn as kv

LETTERS = kv.Symbols(("a", "b", "ch"))


def test_encode_and_decode():
    ids = LETTERS.encode([["ch", "a"], "ab", ["b"]])
    assert ids.tolist() == [[5, 3], [3, 4], [4, 0]]
    assert ids.dtype == "int32"
    assert LETTERS.encode(["a"], length=3).tolist() == [[3, 0, 0]]
    assert [LETTERS.decode(row) for row in ids] == [("ch", "a"), ("a", "b"), ("b",)]
    assert LETTERS.decode([3, 4, 2, 5]) == ("a", "b")  # 2 ends
    assert len(LETTERS) == 6


def test_build_sorts():
    assert kv.Symbols.build(["cab", "bad"]).symbols == ("a", "b", "c", "d")
    assert kv.Symbols.build([["P", "AH"], ["AH"]]).symbols == ("AH", "P")


def test_saved_and_loaded(tmp_path):
    LETTERS.save(tmp_path / "letters.json")
    assert kv.Symbols.load(tmp_path / "letters.json") == LETTERS
    content = json.loads((tmp_path / "letters.json").read_text())
    assert (content["padding"], content["start"], content["end"]) == (0, 1, 2)


@pytest.mark.parametrize("content", ["no json", "[]", '{"format": "other"}'])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "letters.json").write_text(content)
    with pytest.raises(ValueError, match=r"letters.json: not a file of symbols"):
        kv.Symbols.load(tmp_path / "letters.json")


@pytest.mark.parametrize(
    ("sequences", "length", "message"),
    [
        (["a", ""], None, r"`sequences\[1\]` must have 1 to 1 symbols. Received: '' of length 0"),
        (["ab"], 1, r"`sequences\[0\]` must have 1 to 1 symbols. Received: 'ab' of length 2"),
        (["ax"], None, r"`sequences\[0\]` must hold known symbols, a b ch. Received: 'x' in 'ax'"),
    ],
)
def test_what_can_not_be_encoded(sequences, length, message):
    with pytest.raises(ValueError, match=message):
        LETTERS.encode(sequences, length)


def test_wrong_symbols():
    with pytest.raises(TypeError, match=r"`sequences` must be a list.* Write encode\(\[word\]\)"):
        LETTERS.encode("ab")
    with pytest.raises(ValueError, match="Received: 'a' more than once"):
        kv.Symbols(("a", "a"))
    with pytest.raises(ValueError, match="`symbols` must hold at least one symbol"):
        kv.Symbols(())
