"""The first run of a file in a process of its own."""

import sys

import pytest
import tensorflow as tf
from stock_files import convert

from keras_vrnn.tflite.running import trial
from keras_vrnn.tflite.running.engines import LiteRT


@pytest.fixture
def path(tmp_path):
    return convert(tmp_path / "m.tflite", lambda x: 2.0 * x, tf.TensorSpec((None, 3), name="x"))


def replaced_by(program, tmp_path, monkeypatch):
    (tmp_path / "trial.py").write_text(program)
    monkeypatch.setattr(trial, "__file__", str(tmp_path / "trial.py"))


def test_a_sound_file_survives(path):
    trial.survive(path)
    trial.run(str(path))


def test_a_refusal_is_left_to_the_next_reader(tmp_path):
    (tmp_path / "none").write_bytes(b"\0\0\0\0TFL3")
    trial.survive(tmp_path / "none")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGABRT)", r"it crashes \(SIGABRT\)"),
        ("import sys\nsys.exit(3)", "exit status 3"),
        ("while True: pass", "does not end within 1 s"),
    ],
)
def test_a_crash_or_a_hang_is_an_error(program, message, path, tmp_path, monkeypatch):
    replaced_by(program, tmp_path, monkeypatch)
    monkeypatch.setattr(trial, "_SECONDS", 1)
    with pytest.raises(ValueError, match=rf"must be a file that LiteRT can run.*{message}"):
        LiteRT(path)


def test_python_inside_another_program_goes_without(path, monkeypatch):
    monkeypatch.setattr(sys, "executable", None)
    monkeypatch.setattr(trial.subprocess, "run", lambda *a, **k: pytest.fail("a process was started"))
    trial.survive(path)
