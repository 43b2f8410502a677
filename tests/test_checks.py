"""Checks of arguments: what passes, and the one grammar of their messages."""

import re
import subprocess
import sys

import numpy as np
import pytest

from keras_vrnn import _checks as checks

GRAMMAR = r"`x(\[\d+\])?` must [a-z].+\. Received: .+\."


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (checks.positive_int, np.int64(3), 3),
        (checks.positive_ints, 4, [4]),
        (checks.positive_ints, (4, np.int8(2)), [4, 2]),
        (checks.seed, None, None),
        (checks.seed, np.uint8(7), 7),
        (checks.number, np.float32(0.5), 0.5),
        (checks.number, -3, -3.0),
        (checks.rate, 1, 1.0),
        (checks.flag, np.bool_(True), True),
        (checks.flag, 0, False),
        (checks.shares, [0.9, 0.05, 0.05], (0.9, 0.05, 0.05)),
    ],
)
def test_right_values_become_plain_types(check, value, expected):
    found = check("x", value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        *[
            (checks.positive_int, v)
            for v in (0, -1, 2.0, "3", None, True, np.bool_(True), np.array([1, 2]), [])
        ],
        *[(checks.positive_ints, v) for v in ([], [3, 0], "34", None)],
        *[(checks.seed, v) for v in ("1", 1.5, True)],
        *[(checks.number, v) for v in ("1", True, float("nan"), float("inf"), None, 1j, 10**400)],
        *[(checks.rate, v) for v in (1.1, -0.1, "half", True, float("nan"), [0.5])],
        *[(checks.flag, v) for v in ("False", 2, None, 1.0)],
        *[(checks.shares, v) for v in ([], [0.5, 0.6], [1.0, 0.0], [1.2, -0.2], ["a", 1])],
    ],
)
def test_wrong_values_are_refused_in_one_grammar(check, value):
    with pytest.raises(ValueError, match="Received") as error:
        check("x", value)
    assert re.fullmatch(GRAMMAR, str(error.value), re.DOTALL), error.value


def test_bounds_of_numbers():
    assert checks.number("x", 0, at_least=0) == 0
    with pytest.raises(ValueError, match=r"`x` must be a finite number > 0\. Received: x=0\."):
        checks.number("x", 0, above=0)
    assert checks.fraction("x", 0, "a share", below_one=True) == 0
    with pytest.raises(ValueError, match=r"`x` must be a number in \[0, 1\), a share\. Received: x=1\."):
        checks.fraction("x", 1, "a share", below_one=True)


@pytest.mark.parametrize("value", ["c", None, ["a"], np.array(["a", "b"]), 1, True])
def test_a_value_that_is_not_a_choice(value):
    with pytest.raises(ValueError, match=r"`x` must be one of 'a', 'b', 0\. Received: x="):
        checks.one_of("x", value, ("a", "b", 0))


def test_a_choice_passes():
    assert checks.one_of("x", "b", ("a", "b")) == "b"


def test_items_must_differ():
    checks.distinct("x", ("a", "b"), "hold each once")
    with pytest.raises(ValueError, match=r"`x` must hold each once\. Received: 'a' more than once\."):
        checks.distinct("x", ("a", "b", "a"), "hold each once")


def test_a_message_ends_with_the_fix():
    error = checks.refused("x", "be small", 9, "Take 3.")
    assert str(error) == "`x` must be small. Received: x=9. Take 3."


def test_needs_neither_keras_nor_tensorflow_nor_numpy():
    code = "import sys, keras_vrnn._checks; print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")
