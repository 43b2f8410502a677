"""Model cards: what they hold, what they refuse, and what they give."""

import json
import re

import numpy as np
import pytest

from keras_vrnn.tflite.card import Card


def test_lists_of_any_kind_become_tuples():
    card = Card(
        features=np.array(["a", "b"]), mean=np.array([0.1, 2]), std={"x": 3}, classes={"y": ["no", "yes"]}
    )
    assert card.features == ("a", "b")
    assert card.mean == (0.1, 2.0)
    assert card.std == {"x": (3.0,)}
    assert card.classes == {"y": ("no", "yes")}


def test_the_only_input_and_output_need_no_name():
    card = Card(features=["a", "b"], std=2.0, classes=["no", "yes"]).fitted({"x": 2}, {"y": 2})
    assert card.features == {"x": ("a", "b")}
    assert (card.mean, card.std) == ({"x": (0.0,)}, {"x": (2.0,)})
    assert card.classes == {"y": ("no", "yes")}


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"name": 3}, "`name` must be a text. Received: name=3"),
        ({"version": "1\n2"}, "`version` must be a text without control characters"),
        ({"description": "a\0b"}, "`description` must be a text without control"),
        ({"author": "\ud800"}, "`author` must be a text without control"),
        (
            {"license": "x" * 65_536},
            "`license` must have at most 65,535 bytes of UTF-8. Received: 65,536 bytes",
        ),
        ({"name": "é" * 501}, "`name` must have at most 1,000 bytes"),
        ({"classes": "yes"}, "`classes` must be a list of names"),
        ({"classes": []}, "`classes` must be a list of names"),
        ({"classes": ["a", "a"]}, "`classes` must hold different names. Received: 'a' more than once"),
        ({"classes": ["a\u2028b"]}, "`classes` must be a text without control"),
        ({"classes": {"y": ["a", " "]}}, "`classes` must hold names that are not blank"),
        ({"classes": {3: ["a"]}}, "`classes` must be a text. Received: classes=3"),
        ({"features": ["a", 3]}, "`features` must be a text. Received: features=3"),
        ({"mean": [float("nan")]}, "`mean` must be a finite number"),
        ({"mean": [1e39]}, "`mean` must be numbers that float32 holds"),
        ({"mean": "3"}, "`mean` must be a finite number"),
        ({"std": [1.0, 0.0]}, "`std` must be positive numbers that float32 holds. Received: std=0.0"),
        ({"std": [1e-60]}, "`std` must be positive"),
        ({"figures": [1]}, "`figures` must be a dictionary"),
        ({"figures": {"a": True}}, "`figures` must hold finite numbers or texts, as 'a'"),
        ({"figures": {"a": float("inf")}}, "`figures` must hold finite numbers"),
        ({"figures": {"a": 1 << 63}}, "`figures` must hold numbers of 64 bits"),
        ({"figures": {"a": None}}, "`figures` must hold finite numbers"),
    ],
)
def test_what_it_refuses(card, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Card(**card)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"features": {"z": ["a"]}}, r"`features` must have keys among \['x'\]. Received: 'z'"),
        (
            {"features": ["a"]},
            "`features` must have 2 values for 'x', the length of its last axis. Received: 1",
        ),
        ({"std": [1, 2, 3]}, "`std` must have 1 or 2 values for 'x'"),
        ({"classes": ["a"]}, r"`classes` must be a dictionary with keys among \['y', 'z'\]"),
    ],
)
def test_what_does_not_fit_a_file(card, message):
    with pytest.raises(ValueError, match=message):
        Card(**card).fitted({"x": 2}, {"y": 3, "z": 4})


def test_normalization_and_likeliest_class():
    card = Card(mean=[1, 2], std=[2], classes=["a", "b"])
    np.testing.assert_array_equal(card.normalized([[3, 2], [1, 0]]), np.float32([[1, 0], [0, -1]]))
    np.testing.assert_array_equal(Card(std={"x": [2]}).normalized([3, 4]), np.float32([1.5, 2]))
    with pytest.raises(ValueError, match="`normalized` needs a card with `mean` or `std`"):
        Card().normalized([1])
    assert card.likeliest([0.2, 0.8]) == "b"
    assert card.likeliest([[0.2, 0.8], [0.7, 0.3]]).tolist() == ["b", "a"]
    with pytest.raises(ValueError, match=r"`y` must have the shape \(..., 2\). Received: shape \(3,\)"):
        card.likeliest([1, 2, 3])
    with pytest.raises(ValueError, match="`name` must be one of"):
        card.likeliest([1, 2], "other")


def test_numbers_are_the_shortest_that_float32_holds():
    card = Card(mean=[0.1, 1 / 3], figures={"accuracy": np.float64(0.5), "samples": np.int64(3)})
    assert card.mean == (0.1, 0.33333334)
    assert [type(value) for value in card.figures.values()] == [float, int]


def test_json_both_ways(tmp_path):
    card = Card(name='"é"', classes={"y": ["a", "b"]}, mean={"x": [0.1]}, std={"x": [2]}, figures={"n": 3})
    path = tmp_path / "card.json"
    path.write_text(card.to_json(), encoding="utf-8")
    assert Card.from_json(path) == card
    assert "author" not in json.loads(card.to_json())
    for content, message in (
        ("{", "`card` must be a file of JSON"),
        ("[]", "`card` must be a JSON object"),
        ('{"klasses": []}', r"card\.json' with \['klasses'\]"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            Card.from_json(path)


def test_printed():
    card = Card(name="m", features=["a", "b"], classes={"y": ["c"]}, figures={"mae": 0.5})
    assert str(card).splitlines() == [
        "name           m",
        "features       a, b",
        "classes        y: c",
        "figure         mae 0.5",
    ]
