"""The command line in a process of its own, as a user or a CI runs it."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import cli
from keras_vrnn.cli.status import MISSED, REFUSED


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
    np.save(folder / "wide.npy", np.zeros((2, 6, 4)))
    (folder / "text.txt").write_text("no model, no array")
    kv.tflite.export(model, folder / "good.tflite", calibration_data=x)
    for name in ("m.keras", "data.npz", "good.tflite"):
        content = (folder / name).read_bytes()
        cut = {"m.keras": "cut.keras", "data.npz": "cut.npz", "good.tflite": "cut.tflite"}[name]
        (folder / cut).write_bytes(content[: len(content) // 2])
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
    assert cli.main(arguments) == REFUSED
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
        (["export", "m.keras", "n.tflite", "--calibration-data", "cut.npz"], "'cut.npz' is no NumPy file"),
        (
            ["export", "m.keras", "n.tflite", "--calibration-data", "wide.npy"],
            "expected the shape (samples, 6, 3)",
        ),
        (["export", "m.keras", "n.tflite", "--io", "int3", "--calibration-data", "x.npy"], "io='int3'"),
        (["export", "m.keras", "n.tflite", "--state", "internal"], "choose form='streaming'"),
        (["export", "m.keras", "n.tflite", "--batch-size", "0"], "batch_size=0: expected a positive integer"),
        (["export", "m.keras", "n.tflite", "--calibration", "mean"], "calibration='mean'"),
        (["export", "cut.keras", "n.tflite"], "'cut.keras' can't be loaded as a Keras model"),
        (["export", "m.keras"], "tflite: name the .tflite file to write"),
        (["export", "good.tflite"], "keras-vrnn export model.tflite --c-array FOLDER"),
        (["export", "cut.tflite", "--c-array", "."], "'cut.tflite' is not a TFLite model"),
        (["verify", "m.keras", "none.tflite", "--data", "x.npy"], "there is no file 'none.tflite'"),
        (["verify", "m.keras", "text.txt", "--data", "x.npy"], "'text.txt' is not a TFLite model"),
        (["verify", "m.keras", "cut.tflite", "--data", "x.npy"], "LiteRT can't run 'cut.tflite'"),
        (
            ["verify", "cut.keras", "good.tflite", "--data", "x.npy"],
            "'cut.keras' can't be loaded as a Keras model",
        ),
        (["verify", "m.keras", "good.tflite", "--data", "wide.npy"], "expected the shape (samples, 6, 3)"),
        (["verify", "m.keras", "good.tflite", "--data", "cut.npz"], "'cut.npz' is no NumPy file"),
        (
            ["verify", "m.keras", "good.tflite", "--data", "m.keras"],
            "no NumPy file of plain arrays: it is an archive",
        ),
        (
            ["export", "good.tflite", "--c-array", "text.txt"],
            "can't create the folder 'text.txt': File exists",
        ),
        (["export", "good.tflite", "--c-array", "c", "--name", "1x"], "name='1x': expected a C++ identifier"),
        (["bench", "cut.tflite"], "'cut.tflite' is not a TFLite model that can be read"),
        (["bench", "none.tflite"], "there is no file 'none.tflite'"),
        (["bench", "good.tflite", "--runs", "0"], "runs=0: expected an integer of at least 1"),
        (["inspect", "cut.tflite"], "'cut.tflite' is not a TFLite model that can be read"),
        (["inspect", "text.txt"], "'text.txt' is not a TFLite model"),
    ],
)
def test_bad_input_is_one_line_and_no_file(arguments, message, folder, capsys, monkeypatch):
    assert message in refused(arguments, capsys, folder, monkeypatch)


BARS = [
    (["verify", "m.keras", "good.tflite", "--data", "x.npy", "--max-error", "0"], "max_error "),
    (["verify", "m.keras", "good.tflite", "--data", "x.npy", "--max-mean-error", "0"], "mean_error "),
    (["verify", "m.keras", "good.tflite", "--data", "x.npy", "--min-agreement", "1.1"], "agreement "),
    (["verify", "m.keras", "good.tflite", "--data", "data.npz", "--min-accuracy", "1.1"], "accuracy "),
    (
        ["verify", "m.keras", "good.tflite", "--data", "x.npy", "--micro", "--max-error", "0"],
        "max_error in TFLite Micro ",
    ),
    (["bench", "good.tflite", "--runs", "2", "--max-us-per-step", "0"], "median µs a time step "),
    (["bench", "good.tflite", "--runs", "2", "--max-size", "1000"], "size "),
    (["bench", "good.tflite", "--runs", "2", "--max-arena", "1000"], "arena "),
]


@pytest.mark.parametrize(("arguments", "figure"), BARS)
def test_missed_bars_give_status_1(arguments, figure, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert cli.main(arguments) == MISSED
    assert f"keras-vrnn {arguments[0]}: {figure}" in capsys.readouterr().err


def test_bars_that_are_met_or_make_no_sense(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    verify = ["verify", "m.keras", "good.tflite", "--data", "x.npy"]
    assert cli.main([*verify, "--min-agreement", "0", "--max-error", "1"]) == 0
    assert cli.main(["bench", "good.tflite", "--runs", "2", "--max-size", "100000"]) == 0
    capsys.readouterr()
    assert cli.main([*verify, "--min-accuracy", "0.5"]) == REFUSED  # without labels
    assert "accuracy: there is no such figure" in capsys.readouterr().err


def test_bench_and_inspect(folder):
    result = run(folder, "bench", "good.tflite", "--runs", "3", "--json")
    assert json.loads(result.stdout)["runs"] == 3
    result = run(folder, "inspect", "good.tflite", "--json", "--require", "micro")
    assert (result.returncode, json.loads(result.stdout)["flex"]) == (0, False)


def test_inspect_requires_a_runtime(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert cli.main(["export", "m.keras", "f.tflite", "--quantization", "float16", "--overwrite"]) == 0
    assert cli.main(["inspect", "f.tflite", "--require", "litert"]) == 0
    assert cli.main(["inspect", "f.tflite", "--require", "micro"]) == MISSED
    assert "inspect: not for micro: DEQUANTIZE: FLOAT16 is not taken" in capsys.readouterr().err


def test_every_option_of_export_reaches_it(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    options = ["--form", "streaming", "--quantization", "int16x8", "--io", "float32", "--state", "internal"]
    options += [
        "--batch-size",
        "2",
        "--calibration",
        "percentile",
        "--calibration-data",
        "x.npy",
        "--overwrite",
    ]
    assert cli.main(["export", "m.keras", "all.tflite", *options]) == 0
    runner = kv.tflite.Runner("all.tflite")
    assert (runner.streaming, runner.batch, runner.state) == (True, 2, {})
    assert runner.details["motion"]["dtype"] == np.float32


def test_c_array_with_and_without_conversion(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    both = [
        "export",
        "m.keras",
        "c.tflite",
        "--form",
        "streaming",
        "--calibration-data",
        "x.npy",
        "--overwrite",
    ]
    assert cli.main([*both, "--c-array", "sources"]) == 0
    assert cli.main(["export", "c.tflite", "--c-array", "other", "--name", "motion", "--arena", "4096"]) == 0
    assert (folder / "sources" / "model_data.cc").exists()
    assert "kArenaSize = 4096" in (folder / "other" / "motion_tensors.h").read_text()
    assert cli.main(["export", "c.tflite", "--c-array", "other", "--name", "motion"]) == REFUSED


def test_picture(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert cli.main(["verify", "m.keras", "good.tflite", "--data", "x.npy", "--plot", "errors.svg"]) == 0
    assert "<svg" in (folder / "errors.svg").read_text()
    assert (
        cli.main(["verify", "m.keras", "good.tflite", "--data", "x.npy", "--plot", "errors.svg"]) == REFUSED
    )
    assert "'errors.svg' exists" in capsys.readouterr().err


def test_starts_without_keras_and_tensorflow(folder):
    """Where neither is installed, the commands that need neither work."""
    program = "import sys; sys.modules.update(tensorflow=None, keras=None)\nfrom keras_vrnn.cli import main\n"
    for arguments in (["inspect", "good.tflite"], ["bench", "good.tflite", "--runs", "2"]):
        command = [sys.executable, "-c", f"{program}sys.exit(main({arguments!r}))"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_every_command_explains_itself(capsys):
    for command in ("export", "verify", "bench", "inspect", "diagnose"):
        with pytest.raises(SystemExit, match="0"):
            cli.main([command, "--help"])
        assert f"usage: keras-vrnn {command}" in capsys.readouterr().out


def test_unknown_command_shows_the_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["quantise"])
    assert "export" in capsys.readouterr().err
