"""verify: its measures, against measures computed by hand from the outputs of Keras and of the Runner."""

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
def test_measures_of_a_classifier(tmp_path, return_sequences):
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
    assert report.mae_keras is None


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 6, 4)), None, r"\(samples, 6, 3\)"),
        (np.zeros((2, 6, 3)), np.zeros(3), r"`y` must hold class labels of shape \(2,\)"),
    ],
)
def test_wrong_data(tmp_path, x, y, message):
    model, path, _ = exported(tmp_path, keras.layers.Dense(3, "softmax"))
    with pytest.raises(ValueError, match=message):
        kv.tflite.verify(model, path, x, y)


def test_file_of_another_model(tmp_path):
    _, path, x = exported(tmp_path, keras.layers.Dense(3))
    other = keras.Sequential([keras.Input((6, 3), name="other"), kv.VanillaRNN(5)])
    with pytest.raises(ValueError, match=r"It has the inputs \['x'\], the model has \['other'\]"):
        kv.tflite.verify(other, path, x)
    same_input = keras.Sequential([keras.Input((6, 3), name="x"), kv.VanillaRNN(5)])
    with pytest.raises(
        ValueError, match=r"outputs of the shapes \[\(64, 3\)\], the model gives \[\(64, 5\)\]"
    ):
        kv.tflite.verify(same_input, path, x)


def test_errors_by_output_sample_and_step(tmp_path):
    """Against errors computed here from the outputs of Keras and of the Runner."""
    model, path, x = exported(tmp_path, keras.layers.Dense(3), return_sequences=True)
    runner = kv.tflite.Runner(path)
    error = np.abs(runner(x) - model.predict(x, verbose=0))
    report = kv.tflite.verify(model, path, x)
    ((name, output),) = report.outputs.items()
    scale = runner.details[name]["quantization"][0]
    assert output.max_steps == pytest.approx(error.max() / scale)
    assert output.mean_steps == pytest.approx(error.mean() / scale)
    np.testing.assert_allclose(output.error_over_time, error.mean(axis=(0, 2)))
    np.testing.assert_allclose(report.sample_errors, error.max(axis=(1, 2)))
    assert report.worst[0] == (int(error.max(axis=(1, 2)).argmax()), pytest.approx(error.max()))
    assert [n for n, _ in report.worst] == list(np.argsort(-error.max(axis=(1, 2)))[:5])


def test_saturation_is_counted(tmp_path):
    """The first half of the data lies in the calibrated range, the other far outside."""
    model, path, x = exported(tmp_path, keras.layers.Dense(3))
    far = np.concatenate([0.1 * x, np.full_like(x, 1e3)])
    report = kv.tflite.verify(model, path, far)
    assert report.saturated_inputs == {"x": 0.5}
    ((name, output),) = report.outputs.items()
    runner = kv.tflite.Runner(path)
    scale, zero_point = runner.details[name]["quantization"]
    integers = np.round(runner(far) / scale) + zero_point
    assert output.saturated == np.sum((integers == -128) | (integers == 127))
    assert output.values == 128 * 3


def test_measures_on_tflite_micro(tmp_path):
    model, path, x = exported(tmp_path, keras.layers.Dense(3, "softmax"))
    y = np.arange(64) % 3
    report = kv.tflite.verify(model, path, x, y, micro=True)
    (output,) = report.micro.values()
    received, expected = MicroRunner(path)(x), model.predict(x, verbose=0)
    assert output.max_error == np.abs(received - expected).max()
    assert output.accuracy == np.mean(received.argmax(-1) == y)
    assert "TFLite Micro" in str(report)


@pytest.mark.parametrize("per_step", [False, True])
def test_real_targets_give_the_errors_of_both(tmp_path, per_step):
    model, path, x = exported(tmp_path, keras.layers.Dense(1), per_step)
    expected, actual = model.predict(x, verbose=0), kv.tflite.Runner(path)(x)
    y = np.random.default_rng(2).normal(size=expected.shape)
    for targets in (y, y[..., 0]):  # with and without the axis of length 1
        report = kv.tflite.verify(model, path, x, targets)
        assert report.accuracy_tflite is None
        for error, mae, rmse in (
            (expected - y, report.mae_keras, report.rmse_keras),
            (actual - y, report.mae_tflite, report.rmse_tflite),
        ):
            assert mae == pytest.approx(np.abs(error).mean())
            assert rmse == pytest.approx(np.sqrt((error**2).mean()))
        assert f"mae_tflite      {report.mae_tflite:.6g}" in str(report)


def two_heads():
    inputs = keras.Input((6, 3), name="x")
    h = kv.VanillaRNN(5)(inputs)
    heads = keras.layers.Dense(3, "softmax", name="label")(h), keras.layers.Dense(1, name="value")(h)
    return keras.Model(inputs, heads)


def test_right_answers_for_several_outputs(tmp_path):
    """Labels for one output and targets for the other; by name one of them may be left out."""
    model, path = two_heads(), tmp_path / "m.tflite"
    x = np.random.default_rng(1).normal(size=(64, 6, 3)).astype("float32")
    kv.tflite.export(model, path, quantization="float32")
    labels, values = np.arange(64) % 3, np.linspace(-1, 1, 64)
    report = kv.tflite.verify(model, path, x, [labels, values])
    probabilities, value = model.predict(x, verbose=0)
    assert report.accuracy_tflite == np.mean(probabilities.argmax(-1) == labels)
    assert report.mae_keras == pytest.approx(np.abs(value[:, 0] - values).mean(), rel=1e-5)
    name = kv.tflite.Runner(path).outputs[1]
    assert kv.tflite.verify(model, path, x, {name: values}).accuracy_tflite is None
    with pytest.raises(ValueError, match="`y` must be a list of 2 arrays or a dictionary by output name"):
        kv.tflite.verify(model, path, x, labels)
    with pytest.raises(ValueError, match="`y` must have keys among the outputs"):
        kv.tflite.verify(model, path, x, {"other": labels})


X = np.random.default_rng(5).normal(size=(7, 6, 3)).astype("float32")


def test_a_stateful_model_whose_batch_does_not_divide_the_samples(tmp_path):
    """Each sample from zero, twice the same; the model's own state is as before."""
    inputs = keras.Input(batch_shape=(4, 6, 3), name="x")
    rnn = kv.VanillaRNN(5, stateful=True)
    model = keras.Model(inputs, keras.layers.Dense(2)(rnn(inputs)))
    kv.tflite.export(model, tmp_path / "m", quantization="float32", calibration_data=X)
    model.predict_on_batch(X[:4])
    state = np.array(rnn.states[0])
    assert state.any()
    for _ in range(2):
        assert kv.tflite.verify(model, tmp_path / "m", X).max_error < 1e-5  # float32 rounding over six steps
    np.testing.assert_array_equal(rnn.states[0], state)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_models_of_other_precision(dtype, tmp_path):
    """In memory, without an input name: the exporter rebuilds the model, which changes the automatic name."""
    inputs = keras.Input((6, 3))
    h = kv.VanillaRNN(5, dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype=dtype)(h))
    kv.tflite.export(model, tmp_path / "m", quantization="float32")
    # float32 rounding over six steps, not the rounding of half precision.
    assert kv.tflite.verify(model, tmp_path / "m", X).max_error < 1e-5


def test_a_fault_of_the_exporters_own_copy_shows(tmp_path, monkeypatch):
    """The original is the user's model: an exporter that lost statistics on the way would agree with itself."""
    inputs = keras.Input(batch_shape=(4, 6, 3), name="x")
    normalization = keras.layers.Normalization(mean=2.0, variance=4.0)
    model = keras.Model(inputs, kv.VanillaRNN(5, stateful=True)(normalization(inputs)))
    kv.tflite.export(model, tmp_path / "m", quantization="float32", calibration_data=X)
    normalization.mean = normalization.mean + 1.0
    assert kv.tflite.verify(model, tmp_path / "m", X).max_error > 0.1


def test_subclassed_models_are_refused(tmp_path):
    _, path, x = exported(tmp_path, keras.layers.Dense(3))

    class Own(keras.Model):
        pass

    with pytest.raises(
        ValueError, match=r"must be a built functional or Sequential Keras model. Received: a Own"
    ):
        kv.tflite.verify(Own(), path, x)
