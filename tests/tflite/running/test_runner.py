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
        (
            np.ones((5, 3)),
            r"`x` must have the shape \(samples, 5, 3\) .* for input 'x'. Received the shape \(5, 3\)",
        ),
        (np.ones((0, 5, 3)), r"at least one sample .* Received the shape \(0, 5, 3\)"),
        ({"y": np.ones((1, 5, 3))}, r"`x` must hold the inputs \['x'\]. Received: \['y'\]"),
        (np.full((1, 5, 3), np.nan), "`x` must be finite. Received for input 'x' NaN"),
        (np.full((1, 5, 3), "a"), "`x` must hold numbers. Received for input 'x' an array of <U1"),
    ],
)
def test_wrong_inputs(exported, x, message):
    with pytest.raises(ValueError, match=message):
        kv.tflite.Runner(exported)(x)


def test_inputs_of_different_length(two_inputs):
    with pytest.raises(ValueError, match="one number of samples and time steps for all inputs"):
        kv.tflite.Runner(two_inputs)([np.ones((2, 5, 3)), np.ones((3, 4))])
    with pytest.raises(ValueError, match="`x` must be 2 arrays"):
        kv.tflite.Runner(two_inputs)([np.ones((2, 5, 3))])


def test_missing_and_damaged_files(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match="`path` must be a file that exists"):
        kv.tflite.Runner(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(ValueError, match=r"must be a TFLite model.*text.tflite'"):
        kv.tflite.Runner(tmp_path / "text.tflite")
    with pytest.raises(ValueError, match=r"`threads` must be a positive integer. Received: threads=0"):
        kv.tflite.Runner(exported, threads=0)


@pytest.fixture(scope="module")
def streaming(tmp_path_factory):
    """A streaming file of two stacked recurrences, and the model."""
    path = tmp_path_factory.mktemp("runner") / "s.tflite"
    model = keras.Sequential(
        [
            keras.Input((7, 3), name="x"),
            kv.VanillaRNN(4, return_sequences=True),
            kv.VanillaRNN(5, return_sequences=True),
        ]
    )
    kv.tflite.export(model, path, form="streaming", calibration_data=X)
    return path


X = np.random.default_rng(3).normal(size=(6, 7, 3)).astype(np.float32)


def test_interleaved_streams_by_their_states(streaming):
    """Two streams on one interpreter, each continued from its own state, give what each gives alone."""
    runner = kv.tflite.Runner(streaming)
    alone = runner(X[:2])
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    states, received = [runner.state, runner.state], np.zeros_like(alone)
    for t in range(7):
        for stream in range(2):
            runner.state = states[stream]
            received[stream, t] = runner.step(X[stream, t])
            states[stream] = runner.state
    np.testing.assert_array_equal(received, alone)
    assert all(np.all(state == 0) for state in kv.tflite.Runner(streaming).state.values())
    with pytest.raises(ValueError, match=r"the keys \['vanilla_rnn.*Received the keys \['h'\]"):
        runner.state = {"h": np.zeros(4)}


def test_a_batch_axis_may_lead_the_step(streaming):
    runner = kv.tflite.Runner(streaming)
    plain = runner.step(X[0, 0])
    runner.reset()
    np.testing.assert_array_equal(runner.step(X[:1, 0]), plain[None])
    with pytest.raises(ValueError, match=r"the shape \(3\) .* Received the shape \(2, 3\)"):
        runner.step(X[:2, 0])


def stock(path, function, *specs):
    """A file that TensorFlow's converter wrote, of which nothing is ours."""
    import tensorflow as tf

    concrete = tf.function(function, input_signature=specs).get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    return path


def test_open_dimensions_take_any_size(tmp_path):
    """Batch and time left open in the file are resized to the data."""
    import tensorflow as tf

    path = stock(tmp_path / "open.tflite", lambda x: 2.0 * x, tf.TensorSpec((None, None, 3), name="x"))
    runner = kv.tflite.Runner(path)
    assert runner.batch is None
    for x in (X, X[:2, :3], X):
        np.testing.assert_array_equal(runner(x), 2 * x)
        assert len(runner.seconds) == 1  # all samples in one invoke


def test_a_fixed_batch_is_filled_up(tmp_path):
    """Five samples in batches of two: the third batch holds one."""
    import tensorflow as tf

    path = stock(tmp_path / "two.tflite", lambda x: tf.reduce_sum(x, 1), tf.TensorSpec((2, 7, 3), name="x"))
    runner = kv.tflite.Runner(path)
    # float32 rounding of seven terms.
    np.testing.assert_allclose(runner(X[:5]), X[:5].sum(1), atol=1e-5)
    assert (runner.batch, len(runner.seconds)) == (2, 3)


def test_integers_are_cast_only_without_loss(tmp_path):
    import tensorflow as tf

    table = tf.constant(X[0])
    path = stock(
        tmp_path / "g.tflite", lambda t: tf.gather(table, t), tf.TensorSpec((1, 2), tf.int32, name="t")
    )
    runner = kv.tflite.Runner(path)
    np.testing.assert_array_equal(runner([[1.0, 2.0]]), X[:1, 1:3])
    with pytest.raises(ValueError, match="integers of int32 for input 't'"):
        runner([[1.5, 2.0]])
    with pytest.raises(ValueError, match=r"an input that the interpreter takes: .*index out of bounds"):
        runner([[1, 99]])


@pytest.mark.parametrize("state", ["explicit", "internal"])
def test_two_streams_at_once(state, tmp_path):
    model = keras.Sequential([keras.Input((7, 3), name="x"), kv.VanillaRNN(4, activation="relu")])
    outputs = []
    for batch_size in (1, 2):
        options = {"form": "streaming", "state": state, "batch_size": batch_size, "quantization": "float32"}
        kv.tflite.export(model, tmp_path / f"{batch_size}", calibration_data=X, **options)
        outputs.append(kv.tflite.Runner(tmp_path / f"{batch_size}")(X[:5]))
    # float32 rounding over seven steps.
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)
    np.testing.assert_allclose(outputs[0][:, -1], model.predict(X[:5], verbose=0), atol=1e-5)
    runner = kv.tflite.Runner(tmp_path / "2")
    for _ in range(2):  # the second time only after a reset
        stepped = [runner.step(X[:2, t]) for t in range(7)]
        np.testing.assert_array_equal(np.stack(stepped, axis=1), outputs[1][:2])
        runner.reset()
    with pytest.raises(ValueError, match=r"the shape \(2, 3\) .* Received the shape \(3,\)"):
        runner.step(X[0, 0])


def with_names(path, function, inputs, outputs, shape=(1, 3)):
    """A float32 file of another program with these names of inputs and outputs: each output is its input, doubled."""
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, name=name) for name in inputs]
    module = tf.Module()
    module.run = tf.function(
        lambda *x: {name: function(part) for name, part in zip(outputs, x, strict=True)},
        input_signature=specs,
    )
    folder = path.with_suffix("")
    tf.saved_model.save(module, folder, signatures=module.run)
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return path


def test_an_input_of_ones_own_may_be_called_state_in(tmp_path):
    """It is a state only together with an output of the corresponding name."""
    path = with_names(tmp_path / "m.tflite", lambda x: 2 * x, ["state_in"], ["y"])
    runner = kv.tflite.Runner(path)
    assert (runner.inputs, runner.streaming) == (["state_in"], False)
    np.testing.assert_array_equal(runner(X[:2, 0]), 2 * X[:2, 0])


def test_an_input_and_an_output_of_one_name(tmp_path):
    path = with_names(tmp_path / "m.tflite", lambda x: x[:, :2], ["x"], ["x"])
    runner = kv.tflite.Runner(path)
    np.testing.assert_array_equal(runner(X[:2, 0]), X[:2, 0, :2])
    assert runner.input_details["x"]["shape"][1] == 3
    assert runner.output_details["x"]["shape"][1] == 2


def test_inputs_need_a_batch_axis(tmp_path):
    import tensorflow as tf

    path = stock(tmp_path / "m.tflite", lambda x: 2.0 * x, tf.TensorSpec((), name="x"))
    with pytest.raises(ValueError, match=r"must be a file whose inputs have the shape \(batch, ...\)"):
        kv.tflite.Runner(path)
