"""Thresholds and the exit status they give."""

import pytest

from keras_vrnn.cli.status import DONE, MISSED, hold, threshold


@pytest.mark.parametrize(
    ("value", "limit", "more_is_better", "status"),
    [
        (0.9, 0.9, True, DONE),
        (0.8, 0.9, True, MISSED),
        (0.9, 0.9, False, DONE),
        (1.0, 0.9, False, MISSED),
        (float("nan"), 0.9, True, MISSED),
        (float("nan"), 0.9, False, MISSED),
        (float("nan"), None, False, DONE),
    ],
)
def test_status(value, limit, more_is_better, status, capsys):
    assert hold("bench", [("measure", value, limit, more_is_better)]) == status
    assert ("keras-vrnn bench: measure " in capsys.readouterr().err) == (status == MISSED)


def test_a_threshold_for_a_value_that_is_missing():
    with pytest.raises(ValueError, match="arena: not available for this file"):
        hold("bench", [("arena", None, 1000, False)])


def test_thresholds_are_finite():
    assert threshold("1e-3") == 0.001
    for text in ("nan", "inf", "-inf"):
        with pytest.raises(ValueError, match=text):
            threshold(text)
