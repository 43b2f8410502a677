"""The line of progress: in a terminal only, gone at the end, and left out on request."""

import io
import types
import warnings

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import _progress as progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines(terminal):
    """What the line held, one after the other; the last is empty."""
    found = [part.rstrip() for part in terminal.getvalue().split("\r")]
    return [text for k, text in enumerate(found) if text or k == len(found) - 1]


@pytest.fixture
def terminal(monkeypatch):
    made = Terminal()
    # sys.stderr itself belongs to pytest while a test runs.
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=made))
    monkeypatch.setattr(progress, "_EVERY", 0)
    return made


def test_a_job_says_what_it_does_and_counts(terminal):
    with progress.shown("job"):
        progress.stage("first")
        assert list(progress.counted(range(2))) == [0, 1]
        with progress.shown("inner"):  # shares the line
            progress.stage("second")
    progress.stage("after the end")
    assert lines(terminal) == ["job: first", "job: first 1/2", "job: first 2/2", "job: second", ""]
    assert terminal.getvalue().endswith("\r" + " " * (len(terminal.getvalue().split("\r")[-2])) + "\r")


def test_the_outermost_loop_counts(terminal):
    with progress.shown("job"):
        progress.stage("rows")
        for _ in progress.counted(range(2)):
            assert list(progress.counted(range(9))) == list(range(9))
    assert lines(terminal) == ["job: rows", "job: rows 1/2", "job: rows 2/2", ""]


def test_the_line_is_gone_after_an_error(terminal):
    def job():
        with progress.shown("job"):
            progress.stage("first")
            raise ValueError("oh")

    with pytest.raises(ValueError, match="oh"):
        job()
    assert terminal.getvalue().split("\r")[-2].strip() == ""


def test_nothing_is_written_elsewhere_or_on_request(terminal, monkeypatch):
    def job(**settings):
        with progress.shown("job", **settings):
            progress.stage("first")
            list(progress.counted(range(3)))

    job(wanted=False)
    assert terminal.getvalue() == ""
    log = io.StringIO()  # a file or a pipe
    monkeypatch.setattr(progress.sys, "stderr", log)
    job()
    monkeypatch.setattr(progress.sys, "stderr", None)  # as under pythonw
    job()
    assert log.getvalue() == ""


def test_a_line_longer_than_the_terminal_is_cut(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    with progress.shown("job"):
        progress.stage("x" * 50)
    assert {len(part) for part in terminal.getvalue().split("\r")} == {0, 19}


def test_export_verify_and_benchmark(terminal, tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5, 3)), kv.VanillaRNN(4), keras.layers.Dense(2)])
    path = tmp_path / "m.tflite"

    def jobs(**settings):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kv.tflite.export(model, path, calibration_data=x, overwrite=True, **settings)
        kv.tflite.verify(model, path, x, **settings)
        kv.tflite.benchmark(path, runs=3, warmup=0, **settings)

    jobs()
    shown = lines(terminal)
    for text in (
        "export: measuring scales",
        "export: converting",
        "export: comparing with Keras 6/6",
        "verify: running Keras",
        "verify: running LiteRT 6/6",
        "benchmark: timing 3/3",
        "benchmark: measuring the arena",
    ):
        assert text in shown
    before = terminal.getvalue()
    jobs(progress=False)
    assert terminal.getvalue() == before
