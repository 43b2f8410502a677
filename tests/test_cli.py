"""The command line in a process of its own, as a user or a CI runs it."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import cli


@pytest.fixture(scope="module")
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
    (folder / "text.txt").write_text("no model, no array")
    return folder


def run(folder, *arguments):
    command = [sys.executable, "-W", "error::UserWarning", "-m", "keras_vrnn", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_export_and_verify(folder):
    result = run(folder, "export", "m.keras", "m.tflite", "--calibration-data", "x.npy")
    assert result.returncode == 0, result.stderr
    assert "int8" in result.stdout
    result = run(
        folder, "verify", "m.keras", "m.tflite", "--data", "data.npz", "--json", "--min-agreement", "0.5"
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["samples"] == 20
    assert 0 <= report["accuracy_tflite"] <= 1


def refused(arguments, capsys, folder, monkeypatch):
    """Runs in this process, which is quicker, and returns the one line of error."""
    monkeypatch.chdir(folder)
    before = sorted(entry.name for entry in folder.iterdir())
    assert cli.main(arguments) == cli.REFUSED
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert sorted(entry.name for entry in folder.iterdir()) == before
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "m.keras", "text.txt", "--calibration-data", "x.npy"], "'text.txt' exists"),
        (["export", "m.keras", "missing/n.tflite"], "the folder 'missing' does not exist"),
        (["export", "m.keras", "/proc/n.tflite"], "can't write into the folder '/proc'"),
        (["export", "none.keras", "n.tflite"], "there is no file 'none.keras'"),
        (["export", "text.txt", "n.tflite"], "'text.txt' can't be loaded as a Keras model"),
        (["export", "m.keras", "n.tflite"], "calibration_data: quantization='int8' needs inputs"),
        (["export", "m.keras", "n.tflite", "--quantization", "int3"], "quantization='int3'"),
        (["export", "m.keras", "n.tflite", "--calibration-data", "text.txt"], "is no NumPy file"),
        (["export", "m.keras", "n.tflite", "--calibration-data", "none.npy"], "there is no file 'none.npy'"),
        (["export", "m.keras", "n.tflite", "--calibration-data", "labels.npz"], "holds no input"),
        (["verify", "m.keras", "none.tflite", "--data", "x.npy"], "there is no file 'none.tflite'"),
        (["verify", "m.keras", "text.txt", "--data", "x.npy"], "'text.txt' is not a TFLite model"),
    ],
)
def test_bad_input_is_one_line_and_no_file(arguments, message, folder, capsys, monkeypatch):
    assert message in refused(arguments, capsys, folder, monkeypatch)


def test_missed_bars_give_status_1(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    export = ["export", "m.keras", "n.tflite", "--calibration-data", "x.npy", "--overwrite"]
    assert cli.main(export) == 0
    verify = ["verify", "m.keras", "n.tflite", "--data", "x.npy"]
    assert cli.main([*verify, "--max-error", "0"]) == cli.MISSED
    assert "max_error" in capsys.readouterr().err
    assert cli.main([*verify, "--min-agreement", "1.1"]) == cli.MISSED
    assert "agreement" in capsys.readouterr().err


def test_unknown_command_shows_the_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["quantise"])
    assert "export" in capsys.readouterr().err
