"""The state's error over time, read from loops and from streams."""

import keras
import numpy as np
import pytest
from stock_files import convert

import keras_vrnn as kv

X = np.random.default_rng(3).normal(size=(70, 30, 3)).astype("float32")


def two_layers(return_sequences=True, **options):
    inputs = keras.Input((30, 3), name="x")
    h = kv.VanillaRNN(4, return_sequences=True, name="first", **options)(inputs)
    y = kv.VanillaRNN(5, return_sequences=return_sequences, name="second", **options)(h)
    return keras.Model(inputs, y)


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
    """The state read from inside the loop equals the output of the file."""
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
    # One int8 step of the state is 1/128; the first state comes from zero, without the recurrent kernel.
    assert max(states["first"].mean_error) < 2 / 128
    assert states["second"].mean_error[0] < 2 / 128
    assert min(states["second"].mean_error[1:]) > 10 / 128


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"form": "unrolled"}, "the file does not hold a loop whose state can be read"),
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


@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_states_in_batches(form, tmp_path):
    """A file of batch size 3 gives the errors of a file of batch size 1, though 3 does not divide 70 samples."""
    model, states = two_layers(), []
    for batch_size in (1, 3):
        kv.tflite.export(
            model, tmp_path / "m", form=form, batch_size=batch_size, calibration_data=X, overwrite=True
        )
        states.append(kv.tflite.verify(model, tmp_path / "m", X).states)
    for name in ("first", "second"):
        # Kernels for one row and for several round a few sums differently, by one int8 step.
        np.testing.assert_allclose(states[0][name].mean_error, states[1][name].mean_error, atol=0.1 / 128)


@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_state_of_a_stateful_model(form, tmp_path):
    """From zero, whatever the batches before have left, and whatever the batch size of the model."""
    inputs = keras.Input(batch_shape=(3, 30, 3), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(4, stateful=True, name="rnn", return_sequences=True)(inputs))
    kv.tflite.export(model, tmp_path / "m", form=form, quantization="float32", calibration_data=X)
    model.predict(X[:3], verbose=0)
    for _ in range(2):
        report = kv.tflite.verify(model, tmp_path / "m", X[:7])
        assert report.states["rnn"].max_error < 1e-5  # float32 rounding over 30 steps


def test_a_model_without_recurrence(tmp_path):
    import tensorflow as tf

    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])
    kernel, bias = (np.array(weight) for weight in model.weights)
    convert(tmp_path / "m", lambda x: x @ kernel + bias, tf.TensorSpec((1, 3), name="x"))
    report = kv.tflite.verify(model, tmp_path / "m", X[:, 0])
    assert report.states_note == "the model has no recurrence that is exported"
    assert report.max_error < 1e-6  # float32 rounding of three terms
