"""Keras' own recurrent test files, run with VanillaRNN in place of SimpleRNN."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

FILES = ("simple_rnn", "rnn", "bidirectional", "stacked_rnn_cells", "time_distributed", "dropout_rnn_cell")
SUBSTITUTE = """
import importlib

import keras_vrnn as kv

# The name through which Keras' test files reach the layers; private, but so are the tests.
layers = importlib.import_module("keras.src.layers")
layers.SimpleRNN, layers.SimpleRNNCell = kv.VanillaRNN, kv.VanillaRNNCell
layers.Bidirectional = kv.Bidirectional
"""


@pytest.mark.slow
def test_keras_suites_pass_with_our_layers(tmp_path):
    spec = importlib.util.find_spec("keras")
    folder = pathlib.Path(spec.origin).parent / "src" / "layers" / "rnn"
    files = [folder / f"{name}_test.py" for name in FILES]
    if not all(file.exists() for file in files):
        pytest.skip("this Keras comes without its tests")
    (tmp_path / "substitute.py").write_text(SUBSTITUTE)
    # A configuration of its own: Keras' markers are not ours, and its warnings are no errors.
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = requires_trainable_backend\n")
    root = str(pathlib.Path(__file__).parents[2])
    arguments = ["-q", "-p", "substitute", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "--rootdir", str(tmp_path), *map(str, files)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), root])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout
