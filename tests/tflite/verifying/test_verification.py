"""The figures of verify, against figures computed by hand from the Runner's outputs."""

import json

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite.micro.interpreter import MicroRunner


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


def test_errors_by_output_sample_and_step(tmp_path):
    """Against figures computed here from what Keras and the Runner give."""
    model, path, x = exported(tmp_path, keras.layers.Dense(3), return_sequences=True)
    runner = kv.tflite.Runner(path)
    error = np.abs(runner(x) - model.predict(x, verbose=0))
    report = kv.tflite.verify(model, path, x)
    ((name, figures),) = report.outputs.items()
    scale = runner.details[name]["quantization"][0]
    assert figures.max_steps == pytest.approx(error.max() / scale)
    assert figures.mean_steps == pytest.approx(error.mean() / scale)
    np.testing.assert_allclose(figures.error_over_time, error.mean(axis=(0, 2)))
    np.testing.assert_allclose(report.sample_errors, error.max(axis=(1, 2)))
    assert report.worst[0] == (int(error.max(axis=(1, 2)).argmax()), pytest.approx(error.max()))
    assert [n for n, _ in report.worst] == list(np.argsort(-error.max(axis=(1, 2)))[:5])


def test_saturation_is_counted(tmp_path):
    """The first half of the data lies in the calibrated range, the other far outside."""
    model, path, x = exported(tmp_path, keras.layers.Dense(3))
    far = np.concatenate([0.1 * x, np.full_like(x, 1e3)])
    report = kv.tflite.verify(model, path, far)
    assert report.saturated_inputs == {"x": 0.5}
    ((name, figures),) = report.outputs.items()
    runner = kv.tflite.Runner(path)
    scale, zero_point = runner.details[name]["quantization"]
    integers = np.round(runner(far) / scale) + zero_point
    assert figures.saturated == np.sum((integers == -128) | (integers == 127))
    assert figures.values == 128 * 3


def test_figures_of_tflite_micro(tmp_path):
    model, path, x = exported(tmp_path, keras.layers.Dense(3, "softmax"))
    y = np.arange(64) % 3
    report = kv.tflite.verify(model, path, x, y, micro=True)
    (figures,) = report.micro.values()
    received, expected = MicroRunner(path)(x), model.predict(x, verbose=0)
    assert figures.max_error == np.abs(received - expected).max()
    assert figures.accuracy == np.mean(received.argmax(-1) == y)
    assert "TFLite Micro" in str(report)


def two_layers(return_sequences=True, **options):
    inputs = keras.Input((30, 3), name="x")
    h = kv.VanillaRNN(4, return_sequences=True, name="first", **options)(inputs)
    y = kv.VanillaRNN(5, return_sequences=return_sequences, name="second", **options)(h)
    return keras.Model(inputs, y)


X = np.random.default_rng(3).normal(size=(70, 30, 3)).astype("float32")


def test_state_of_a_loop_is_that_of_the_stream(tmp_path):
    """Loop and stream compute the same integers; one is read from copies of the file, the other from its outputs."""
    model, drifts = two_layers(), {}
    for form in ("sequence", "streaming"):
        kv.tflite.export(model, tmp_path / form, form=form, calibration_data=X)
        drifts[form] = kv.tflite.verify(model, tmp_path / form, X).states
    assert list(drifts["sequence"]) == ["first", "second"]
    for name, stream in drifts["streaming"].items():
        loop = drifts["sequence"][name]
        assert stream.steps == tuple(range(1, 31))
        assert loop.steps[0] <= 2  # a turn of the loop may make two steps
        assert loop.steps[-1] == 30
        at = np.array(loop.steps) - 1
        np.testing.assert_allclose(loop.mean_error, np.array(stream.mean_error)[at], rtol=1e-5)
        assert loop.scale == 1 / 128


def test_state_of_the_last_layer_is_its_output(tmp_path):
    """What is read from inside the loop against what the file gives out."""
    model = two_layers(go_backwards=True)
    kv.tflite.export(model, tmp_path / "m", calibration_data=X)
    report = kv.tflite.verify(model, tmp_path / "m", X[:64])
    drift, (output,) = report.states["second"], report.outputs.values()
    at = np.array(drift.steps) - 1
    np.testing.assert_allclose(drift.mean_error, np.array(output.error_over_time)[at], rtol=1e-4)


def test_state_shows_another_recurrent_kernel(tmp_path):
    model = two_layers(return_sequences=False)
    kv.tflite.export(model, tmp_path / "m", calibration_data=X)
    cell = model.get_layer("second").cell
    cell.recurrent_kernel.assign(np.transpose(cell.recurrent_kernel.numpy()))
    states = kv.tflite.verify(model, tmp_path / "m", X).states
    # One int8 step of the state is 1/128; the first state comes from zero and knows no recurrent kernel.
    assert max(states["first"].mean_error) < 2 / 128
    assert states["second"].mean_error[0] < 2 / 128
    assert min(states["second"].mean_error[1:]) > 10 / 128


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"form": "unrolled"}, "the file holds no loop whose state could be read"),
        ({"form": "streaming", "state": "internal"}, "export with state='explicit'"),
    ],
)
def test_states_that_do_not_show(options, reason, tmp_path):
    model = two_layers()
    kv.tflite.export(model, tmp_path / "m", quantization="float32", **options)
    report = kv.tflite.verify(model, tmp_path / "m", X[:4])
    assert report.states == {}
    assert reason in str(report)
    assert report.max_error <= 1e-5  # float32 rounding over 30 steps


def test_picture_and_text(tmp_path):
    model, path, x = exported(tmp_path, keras.layers.Dense(3), return_sequences=True)
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
    figures = json.loads(report.to_json())
    assert figures["states"][state]["steps"][-1] == 6
    assert next(iter(figures["outputs"].values()))["mean_error"] == report.mean_error
    for line in (f"state of {state}: mean error", "input x: ", "worst samples: "):
        assert line in str(report)


@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_states_in_batches(form, tmp_path):
    """Of a file that takes three at a time, the figures of one that takes one: 70 samples are no multiple of three."""
    model, states = two_layers(), []
    for batch_size in (1, 3):
        kv.tflite.export(
            model, tmp_path / "m", form=form, batch_size=batch_size, calibration_data=X, overwrite=True
        )
        states.append(kv.tflite.verify(model, tmp_path / "m", X).states)
    for name in ("first", "second"):
        # Kernels for one row and for several round a few sums differently, by one int8 step.
        np.testing.assert_allclose(states[0][name].mean_error, states[1][name].mean_error, atol=0.1 / 128)
