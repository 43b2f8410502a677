"""`keras-vrnn describe`: a card goes into a file, and comes out as the JSON that went in."""

import json

import pytest

import keras_vrnn as kv

CARD = {"name": "m", "classes": ["walk", "run", "rest"], "mean": [0.5], "std": [2]}


@pytest.fixture
def described(folder):
    (folder / "card.json").write_text(json.dumps(CARD))
    (folder / "wrong.json").write_text(json.dumps({"classes": ["walk"]}))
    (folder / "described.tflite").write_bytes((folder / "good.tflite").read_bytes())
    return folder


def test_a_card_goes_in_and_comes_out(main, described, capsys):
    assert main(["describe", "described.tflite"]) == 0
    assert json.loads(capsys.readouterr().out) == {}
    assert main(["describe", "described.tflite", "--card", "card.json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["mean"] == {"motion": [0.5]}
    (described / "shown.json").write_text(json.dumps(shown))
    content = (described / "described.tflite").read_bytes()
    assert main(["describe", "described.tflite", "--card", "shown.json"]) == 0
    assert (described / "described.tflite").read_bytes() == content
    assert main(["inspect", "described.tflite"]) == 0
    assert "walk, run, rest" in capsys.readouterr().out


def test_an_export_takes_a_card(main, described):
    command = [
        "export",
        "m.keras",
        "carded.tflite",
        "--quantization",
        "float32",
        "--card",
        "card.json",
        "--overwrite",
    ]
    assert main(command) == 0
    assert kv.tflite.Runner(described / "carded.tflite").card.name == "m"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "none.tflite"], "must be a file that exists"),
        (["describe", "cut.tflite", "--card", "card.json"], "which is"),
        (
            ["describe", "described.tflite", "--card", "none.json"],
            "`--card` must be a file that exists. Received: --card",
        ),
        (["describe", "described.tflite", "--card", "text.txt"], "`--card` must be a file of JSON"),
        (["describe", "described.tflite", "--card", "wrong.json"], "`classes` must have 3 values for"),
        (
            ["export", "m.keras", "w.tflite", "--quantization", "float32", "--card", "wrong.json"],
            "must have 3 values",
        ),
        (
            ["export", "described.tflite", "--c", "c", "--card", "card.json"],
            "`--card` must be left out for a .tflite file",
        ),
        (["export", "none.keras", "w.tflite", "--card", "none.json"], "`--card` must be a file that exists"),
    ],
)
def test_bad_input_is_one_line(arguments, message, refused, described):
    assert message in refused(arguments)
    assert not (described / "w.tflite").exists()
