"""A folder of models, data and files, whole and damaged, for the commands."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import cli
from keras_vrnn.cli.status import REFUSED


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    model = keras.Sequential(
        [keras.Input((6, 3), name="motion"), kv.VanillaRNN(5), keras.layers.Dense(3, "softmax")]
    )
    model.save(folder / "m.keras")
    x = np.random.default_rng(1).normal(size=(20, 6, 3)).astype("float32")
    np.save(folder / "x.npy", x)
    np.savez(folder / "data.npz", motion=x, y=np.zeros(20, int))
    np.savez(folder / "labels.npz", y=np.zeros(20, int))
    np.save(folder / "wide.npy", np.zeros((2, 6, 4)))
    (folder / "text.txt").write_text("no model, no array")
    kv.tflite.export(model, folder / "good.tflite", calibration_data=x)
    for name in ("m.keras", "data.npz", "good.tflite"):
        content = (folder / name).read_bytes()
        cut = {"m.keras": "cut.keras", "data.npz": "cut.npz", "good.tflite": "cut.tflite"}[name]
        (folder / cut).write_bytes(content[: len(content) // 2])
    return folder


@pytest.fixture
def run(folder):
    """Runs a command in a process of its own, as a user or a CI does."""

    def run(*arguments):
        command = [sys.executable, "-W", "error::UserWarning", "-m", "keras_vrnn", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def main(folder, monkeypatch):
    """Runs a command in this process, which is quicker, and returns its exit status."""
    monkeypatch.chdir(folder)
    return cli.main


@pytest.fixture
def refused(main, capsys, folder):
    """Runs a command that must be refused without leaving a file, and returns its one line of error."""

    def refused(arguments):
        before = sorted(entry.name for entry in folder.iterdir())
        assert main(arguments) == REFUSED
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert sorted(entry.name for entry in folder.iterdir()) == before
        return lines[0]

    return refused
