"""The Runner: no TensorFlow, right numbers, clear errors."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vrnn as kv


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("runner") / "m.tflite"
    model = keras.Sequential([keras.Input((5, 3), name="x"), kv.VanillaRNN(4)])
    kv.tflite.export(model, path, calibration_data=np.random.default_rng(0).normal(size=(9, 5, 3)))
    return path


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory):
    path = tmp_path_factory.mktemp("runner") / "two.tflite"
    a, b = keras.Input((5, 3), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], kv.VanillaRNN(4)(a, initial_state=b))
    kv.tflite.export(model, path, quantization="float32")
    return path


def test_runs_without_tensorflow_and_keras(exported):
    program = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None  # importing them raises ImportError
import numpy as np
from keras_vrnn.tflite import Runner
runner = Runner({str(exported)!r})
print(runner(np.ones((2, 5, 3))).shape, len(runner.seconds))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout == "(2, 4) 2\n", result.stderr


def test_output_is_dequantized_and_inputs_saturate(exported):
    runner = kv.tflite.Runner(exported)
    y = runner(np.full((1, 5, 3), 1e9))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y * 128, np.round(y * 128))  # multiples of the state's scale
    assert np.isfinite(y).all()


def test_inputs_by_name_or_in_order(two_inputs):
    runner = kv.tflite.Runner(two_inputs)
    a, b = np.ones((2, 5, 3), "float32"), np.ones((2, 4), "float32")
    np.testing.assert_array_equal(runner({"b": b, "a": a}), runner([a, b]))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((5, 3)), r"input 'x' takes the shape \(samples, 5, 3\) .* received \(5, 3\)"),
        (np.ones((0, 5, 3)), r"at least one sample, received \(0, 5, 3\)"),
        ({"y": np.ones((1, 5, 3))}, r"expected the inputs \['x'\], received \['y'\]"),
    ],
)
def test_wrong_inputs(exported, x, message):
    with pytest.raises(ValueError, match=message):
        kv.tflite.Runner(exported)(x)


def test_inputs_of_different_length(two_inputs):
    with pytest.raises(ValueError, match="different numbers of samples"):
        kv.tflite.Runner(two_inputs)([np.ones((2, 5, 3)), np.ones((3, 4))])
    with pytest.raises(ValueError, match="expected 2 arrays"):
        kv.tflite.Runner(two_inputs)([np.ones((2, 5, 3))])


def test_missing_and_damaged_files(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        kv.tflite.Runner(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(ValueError, match=r"text.tflite' is not a TFLite model"):
        kv.tflite.Runner(tmp_path / "text.tflite")
    with pytest.raises(ValueError, match="threads=0: expected a positive integer"):
        kv.tflite.Runner(exported, threads=0)
