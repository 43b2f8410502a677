"""The scripts in export/, run as a user runs them."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vrnn as kv

EXPORT = Path(__file__).parents[2] / "export"
X = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)
# Importing any of the three raises ImportError; the script's own folder stays first on the path.
WITHOUT_KERAS = """
import runpy, sys
for name in ("tensorflow", "keras", "tf_keras"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    model = keras.Sequential(
        [keras.Input((9, 3), name="x"), kv.VanillaRNN(4), keras.layers.Dense(2, "softmax", name="y")]
    )
    model.save(folder / "m.keras")
    for form in ("sequence", "streaming"):
        kv.tflite.export(model, folder / f"{form}.tflite", form=form, calibration_data=X)
    kv.tflite.export(model, folder / "two.tflite", form="streaming", calibration_data=X, batch_size=2)
    np.save(folder / "x.npy", X)
    np.savez(folder / "data.npz", x=X, y=np.zeros(20, int))
    return folder


def run(folder, *arguments, stdin=""):
    command = [sys.executable, "-c", WITHOUT_KERAS, str(EXPORT / "linux" / "run.py"), *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", ["sequence.tflite", "streaming.tflite", "two.tflite"])
def test_sequences_without_keras_and_tensorflow(folder, file):
    result = run(folder, file, "--data", "x.npy", "--out", f"{file}.npy", "--threads", "2")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(folder / f"{file}.npy"), kv.tflite.Runner(folder / file)(X))
    again = run(folder, file, "--data", "x.npy", "--out", f"{file}.npy")
    assert again.returncode == 2
    assert "which exists. Pass --overwrite to replace it" in again.stderr


def test_a_stream_of_lines(folder):
    lines = [" ".join(map(repr, row.tolist())) for row in X[0, :4]]
    result = run(folder, "streaming.tflite", stdin="\n".join([*lines, "reset", *lines[:2], "", lines[0]]))
    assert result.returncode == 0, result.stderr
    received = np.array([line.split() for line in result.stdout.splitlines()], np.float32)
    expected = kv.tflite.Runner(folder / "streaming.tflite")(X[:1, :4])[0]
    # Six digits are printed.
    np.testing.assert_allclose(received, expected[[0, 1, 2, 3, 0, 1, 0]], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["none.tflite"], "", "must be a file that exists. Received: path='none.tflite'"),
        (["sequence.tflite", "--data", "none.npy"], "", "none.npy"),
        (["streaming.tflite"], "1 2", "Line 1 must hold 3 numbers. Received: 2"),
        (["streaming.tflite"], "1 2 a", "Line 1 must hold numbers. Received: '1 2 a'"),
        (["sequence.tflite"], "1 2 3", "Export it with form='streaming'"),
        (["two.tflite"], "1 2 3", "exported with batch_size=1"),
    ],
)
def test_bad_input_is_one_line(folder, arguments, stdin, message):
    result = run(folder, *arguments, stdin=stdin)
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]  # LiteRT logs its delegate before it
    assert last.startswith("run.py: ")
    assert message in last


def test_export_script(folder):
    def export(*arguments):
        command = [sys.executable, str(EXPORT / "export_tflite.py"), "m.keras", "n.tflite", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    result = export("--data", "data.npz")
    assert result.returncode == 0, result.stderr
    assert "accuracy_tflite" in result.stdout
    assert (folder / "n.tflite").exists()
    refused = export("--data", "data.npz")
    assert refused.returncode == 2
    assert "path='n.tflite', which exists. Pass --overwrite to replace it" in refused.stderr
    assert export("--data", "data.npz", "--overwrite", "--min-agreement", "1.1").returncode == 1


def test_the_ready_made_file_does_what_its_card_says(folder):
    ready = EXPORT / "ready_made"
    card = (ready / "README.md").read_text(encoding="utf-8")
    lines = (ready / "sample.csv").read_text().splitlines()[1:]
    result = run(folder, str(ready / "activity.tflite"), stdin="\n".join(lines))
    assert result.returncode == 0, result.stderr
    answers = np.array([line.split() for line in result.stdout.splitlines()], float)
    assert answers.shape == (50, 7)
    classes = re.search(r"probabilities of (.*) \|", card)[1].split(", ")
    assert f"the exercise is {classes[answers[-1].argmax()]}." in card
    assert f"| {(ready / 'activity.tflite').stat().st_size:,} bytes |" in card
    assert kv.tflite.inspect(ready / "activity.tflite").intact
