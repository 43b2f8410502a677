"""The figures of verify, against figures computed by hand from the Runner's outputs."""

import json

import keras
import numpy as np
import pytest

import keras_vrnn as kv


def exported(tmp_path, head, return_sequences=False, quantization="int8"):
    model = keras.Sequential(
        [keras.Input((6, 3), name="x"), kv.VanillaRNN(5, return_sequences=return_sequences), head]
    )
    x = np.random.default_rng(1).normal(size=(64, 6, 3)).astype("float32")
    path = tmp_path / "m.tflite"
    kv.tflite.export(model, path, quantization=quantization, calibration_data=x)
    return model, path, x


@pytest.mark.parametrize("return_sequences", [False, True])
def test_figures_of_a_classifier(tmp_path, return_sequences):
    model, path, x = exported(tmp_path, keras.layers.Dense(3, "softmax"), return_sequences)
    expected, actual = model.predict(x, verbose=0), kv.tflite.Runner(path)(x)
    y = np.random.default_rng(2).integers(0, 3, expected.shape[:-1])
    report = kv.tflite.verify(model, path, x, y)
    assert report.samples == 64
    assert report.size == path.stat().st_size
    assert report.max_error == np.abs(expected - actual).max()
    assert report.mean_error == np.abs(expected - actual).mean()
    assert report.agreement == np.mean(expected.argmax(-1) == actual.argmax(-1))
    assert report.accuracy_keras == np.mean(expected.argmax(-1) == y)
    assert report.accuracy_tflite == np.mean(actual.argmax(-1) == y)
    assert report.microseconds > 0
    assert json.loads(json.dumps(report.to_dict()))["agreement"] == report.agreement
    assert "agreement" in str(report)


def test_binary_output_is_decided_at_one_half(tmp_path):
    model, path, x = exported(tmp_path, keras.layers.Dense(1, "sigmoid"))
    expected, actual = model.predict(x, verbose=0), kv.tflite.Runner(path)(x)
    y = (np.arange(64) % 2)[:, None]
    report = kv.tflite.verify(model, path, x, y)
    assert report.agreement == np.mean((expected >= 0.5) == (actual >= 0.5))
    assert report.accuracy_tflite == np.mean((actual >= 0.5) == y)


def test_regression_has_no_agreement(tmp_path):
    model, path, x = exported(tmp_path, keras.layers.Dense(1, use_bias=False))
    report = kv.tflite.verify(model, path, x)
    assert report.agreement is None
    assert report.accuracy_keras is None
    with pytest.raises(ValueError, match="y: expected class labels"):
        kv.tflite.verify(model, path, x, np.zeros(64))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 6, 4)), None, r"x: expected the shape \(samples, 6, 3\)"),
        (np.zeros((2, 6, 3)), np.zeros(3), r"y: expected class labels of shape \(2,\)"),
    ],
)
def test_wrong_data(tmp_path, x, y, message):
    model, path, _ = exported(tmp_path, keras.layers.Dense(3, "softmax"))
    with pytest.raises(ValueError, match=message):
        kv.tflite.verify(model, path, x, y)


def test_file_of_another_model(tmp_path):
    _, path, x = exported(tmp_path, keras.layers.Dense(3))
    other = keras.Sequential([keras.Input((6, 3), name="other"), kv.VanillaRNN(5)])
    with pytest.raises(ValueError, match=r"has the inputs \['x'\], the model has \['other'\]"):
        kv.tflite.verify(other, path, x)
    same_input = keras.Sequential([keras.Input((6, 3), name="x"), kv.VanillaRNN(5)])
    with pytest.raises(
        ValueError, match=r"gives outputs of the shapes \[\(64, 3\)\], the model \[\(64, 5\)\]"
    ):
        kv.tflite.verify(same_input, path, x)
