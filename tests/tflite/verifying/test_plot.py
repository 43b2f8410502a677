"""The picture of a verification, and its text."""

import json

import keras
import numpy as np
import pytest

import keras_vrnn as kv


def test_picture_and_text(tmp_path):
    model = keras.Sequential(
        [keras.Input((6, 3), name="x"), kv.VanillaRNN(5, return_sequences=True), keras.layers.Dense(3)]
    )
    x, path = np.random.default_rng(1).normal(size=(64, 6, 3)).astype("float32"), tmp_path / "m.tflite"
    kv.tflite.export(model, path, calibration_data=x)
    report = kv.tflite.verify(model, path, x)
    figure = report.plot(tmp_path / "errors.png")
    assert (tmp_path / "errors.png").stat().st_size > 0
    samples, over_time = figure.axes
    (state,) = report.states
    np.testing.assert_allclose(samples.lines[0].get_ydata(), np.sort(report.sample_errors))
    assert [line.get_label() for line in over_time.lines] == [
        f"output {next(iter(report.outputs))}",
        f"state of {state}",
    ]
    measures = json.loads(report.to_json())
    assert measures["states"][state]["steps"][-1] == 6
    assert next(iter(measures["outputs"].values()))["mean_error"] == report.mean_error
    for line in (f"state of {state}: mean error", "input x: ", "worst samples: "):
        assert line in str(report)
    with pytest.raises(FileExistsError, match=r"errors.png', which exists"):
        report.plot(tmp_path / "errors.png")
