"""The lines that `fit` prints."""

import re

import keras
import numpy as np
import pytest

import keras_vrnn as kv

X = np.random.default_rng(0).normal(size=(70, 5, 3)).astype("float32")
Y = (X[:, -1, :1] > 0).astype("float32")


def fitted(capsys, x=X, y=Y, metrics=(), clipnorm=None, **arguments):
    model = kv.Sequential(
        [keras.Input((5, 3)), kv.VanillaRNN(4), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy", metrics=list(metrics), clipnorm=clipnorm)
    history = model.fit(x, y, **arguments)
    lines = re.split(r"[\r\n\x08]+", re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out))
    return [line.rstrip() for line in lines if line.strip()], history.history


def names(line):
    return re.findall(r" - (\w+):", line)


def generated():
    while True:
        yield X[:32], Y[:32]


@pytest.mark.parametrize("verbose", [1, 2])
def test_statistics_that_say_something_are_shown_and_all_are_logged(capsys, verbose):
    lines, logs = fitted(capsys, verbose=verbose, clipnorm=1e-3)
    assert names(lines[-1]) == ["clip_fraction", "grad_norm", "loss"]
    assert {"grad_norm_max", "clipped_grad_norm", "skipped_steps"} <= set(logs)
    lines, _ = fitted(capsys, verbose=verbose)
    assert names(lines[-1]) == ["grad_norm", "loss"]


def test_left_out_updates_are_shown(capsys):
    x = X.copy()
    x[0] = np.nan
    lines, _ = fitted(capsys, x, verbose=2)
    assert "skipped_steps: 1.0" in lines[-1]


@pytest.mark.parametrize("data", [(X, Y), (generated, None)])
@pytest.mark.parametrize("verbose", [1, 2])
@pytest.mark.parametrize("validation", [None, (X, Y)])
@pytest.mark.parametrize("metrics", [[], ["accuracy"]])
def test_lines_are_shorter_than_120_characters(capsys, data, verbose, validation, metrics):
    x, y = (data[0](), None) if callable(data[0]) else data
    given = {"metrics": metrics, "clipnorm": 1e-3, "verbose": verbose, "validation_data": validation}
    if y is None:
        given |= {"steps_per_epoch": 3, "shuffle": False}
    lines, _ = fitted(capsys, x, y, **given)
    assert max(map(len, lines)) < 120, lines
    expected = {"loss", *metrics} | ({"val_loss", *(f"val_{m}" for m in metrics)} if validation else set())
    assert expected <= set(names(lines[-1]))


def test_a_bar_of_the_user_is_the_only_one(capsys):
    lines, _ = fitted(capsys, callbacks=[keras.callbacks.ProgbarLogger()], verbose=2)
    assert len(lines) == 1
    assert "grad_norm_max" in names(lines[0])


def test_the_bar_counts_the_batches_there_are(capsys):
    lines, _ = fitted(capsys, np.tile(X, (9, 1, 1)), np.tile(Y, (9, 1)), verbose=1)
    assert lines[-1].startswith("20/20 ")
