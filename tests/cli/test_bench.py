"""`keras-vrnn bench`: output, thresholds, refusals."""

import json

import pytest

from keras_vrnn.cli.status import MISSED

BENCH = ["bench", "good.tflite", "--runs", "2"]


def test_output_as_json(run):
    assert json.loads(run(*BENCH, "--json").stdout)["runs"] == 2


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("--max-us-per-step", "0", "median µs per step "),
        ("--max-size", "1000", "size "),
        ("--max-arena", "1000", "arena "),
    ],
)
def test_missed_thresholds_give_status_1(option, value, name, main, capsys):
    assert main([*BENCH, option, value]) == MISSED
    assert f"keras-vrnn bench: {name}" in capsys.readouterr().err


def test_a_threshold_that_is_met(main):
    assert main([*BENCH, "--max-size", "100000", "--max-us-per-step", "1e9"]) == 0


@pytest.mark.parametrize("value", ["nan", "inf", "much"])
def test_thresholds_are_numbers(value, main, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*BENCH, "--max-us-per-step", value])
    assert f"invalid threshold value: '{value}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cut.tflite"], "path='cut.tflite', which is"),
        (["none.tflite"], "must be a file that exists. Received: path='none.tflite'"),
        (["good.tflite", "--threads", "0"], "`--threads` must be a positive integer"),
        (["good.tflite", "--steps", "5"], "`--steps` must be 6, the length that the file is made for"),
    ],
)
def test_bad_input_is_one_line(arguments, message, refused):
    assert message in refused(["bench", *arguments])
