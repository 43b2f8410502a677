"""Running files in TFLite Micro: results, refusals and crashes."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite.micro import interpreter as micro

X = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)


@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_micro_runner_gives_what_the_runner_gives(files, form):
    path = files[form, "int8"]
    runner = kv.tflite.Runner(path)
    (detail,) = runner._outputs.values()
    error = np.abs(micro.MicroRunner(path)(X) - runner(X)) / detail["quantization"][0]
    # Reference kernels round a product differently once in a few hundred; the recurrence carries such a step on.
    assert error.mean() <= 0.5
    assert error.max() <= 8


def test_files_that_it_refuses(files, tmp_path):
    with pytest.raises(ValueError, match=r"that TFLite Micro can run. .*filter type: INT8 not supported"):
        micro.MicroRunner(files["sequence", "dynamic"])
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(files["sequence", "int8"].read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cut.tflite', which is damaged"):
        micro.attempt(cut)


def test_a_crash_of_the_interpreter_is_a_reason(files, monkeypatch, tmp_path):
    crashing = tmp_path / "trial.py"
    crashing.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(micro.micro_trial, "__file__", str(crashing))
    tried = micro.attempt(files["sequence", "int8"])
    assert (tried.runs, tried.arena) == (False, None)
    assert "crashed (SIGSEGV)" in tried.reason


def test_missing_package(monkeypatch):
    monkeypatch.setattr(micro.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-vrnn\[micro\]'"):
        micro.attempt("m.tflite")


@pytest.mark.slow
@pytest.mark.parametrize(("quantization", "steps"), [("int8", 1000), ("int16x8", 100)])
def test_long_streams_equal_the_sequence_and_repeat_after_a_reset(quantization, steps, tmp_path):
    """A thousand steps with the state outside and inside of the interpreter: the integers of one whole sequence."""
    inputs = keras.Input((steps, 3), name="x")
    # ReLU: its state's zero point is not 0, so that a reset to the integer 0 would show.
    model = keras.Model(inputs, kv.VanillaRNN(4, activation="relu", return_sequences=True)(inputs))
    model.layers[1].cell.recurrent_kernel.assign(0.5 * np.eye(4) + 0.1 * np.arange(16).reshape(4, 4) / 16)
    x = np.random.default_rng(1).normal(size=(2, steps, 3)).astype(np.float32)
    outputs = {}
    for form, state in (("sequence", "explicit"), ("streaming", "explicit"), ("streaming", "internal")):
        path = tmp_path / f"{form}_{state}"
        options = {"form": form, "state": state, "quantization": quantization}
        kv.tflite.export(model, path, calibration_data=x, **options)
        runner = micro.MicroRunner(path)
        outputs[form, state] = runner(x[:1])
        np.testing.assert_array_equal(runner(x[:1]), outputs[form, state])
    np.testing.assert_array_equal(outputs["streaming", "explicit"], outputs["sequence", "explicit"])
    np.testing.assert_array_equal(outputs["streaming", "internal"], outputs["sequence", "explicit"])
