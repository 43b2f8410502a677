"""Files for another number of time steps than the data has, for any, and streaming files that take several at once."""

import re

import firmware
import keras
import numpy as np
import pytest
from covering import covering
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.capture import lengths
from keras_vrnn.tflite.micro.interpreter import MicroRunner
from keras_vrnn.tflite.running.simulator import Simulator

T, N, F = 12, 20, 5
X = np.random.default_rng(0).normal(size=(4, T, F)).astype("float32")
TOKENS = np.random.default_rng(0).integers(0, 9, (4, T)).astype("int32")


def every_step():
    inputs = keras.Input((None, F), name="x")
    h = layers.Dense(4, activation="relu")(kv.VanillaRNN(6, return_sequences=True)(inputs))
    h = layers.Bidirectional(layers.GRU(4, return_sequences=True))(h)
    return keras.Model(inputs, layers.Dense(3, name="y")(h))


def last_step():
    inputs = keras.Input((None, F), name="x")
    h = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(layers.Masking()(inputs))
    h = layers.Bidirectional(kv.FastRNN(4))(h)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="y")(h))


def tokens_and_constants():
    """A second input without time axis, two outputs, and a second loop of a fixed length."""
    inputs = keras.Input((None,), dtype="int32", name="x"), keras.Input((3,), name="context")
    h = layers.Embedding(9, 4, mask_zero=True, embeddings_initializer="glorot_normal")(inputs[0])
    h = kv.VanillaRNN(5)(h, initial_state=layers.Dense(5)(inputs[1]))
    again = kv.VanillaRNN(4, return_sequences=True)(layers.RepeatVector(3)(h))
    return keras.Model(inputs, {"last": h, "again": again})


MODELS = {
    "every step": (every_step, X),
    "last step": (last_step, X),
    "tokens": (tokens_and_constants, [TOKENS, X[:, 0, :3]]),
}


def of_steps(x, steps):
    parts = [np.concatenate([p, p], axis=1)[:, :steps] if p.shape[1] == T else p for p in _list(x)]
    return parts if isinstance(x, list) else parts[0]


def _list(x):
    return list(x.values()) if isinstance(x, dict) else x if isinstance(x, list) else [x]


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
@pytest.mark.parametrize("name", MODELS)
def test_one_file_for_any_length_computes_what_the_file_of_that_length_does(name, quantization, tmp_path):
    make, x = MODELS[name]
    keras.utils.set_random_seed(0)
    model, options = make(), {"quantization": quantization, "calibration_data": x}
    path = tmp_path / "any.tflite"
    kv.tflite.export(model, path, timesteps=None, max_timesteps=N, **options)
    runner = kv.tflite.Runner(path)
    assert runner.max_timesteps == N
    for steps in (1, 7, N) if quantization == "int8" else (7,):
        fixed = tmp_path / f"{steps}.tflite"
        kv.tflite.export(model, fixed, timesteps=steps, **options)
        shorter = of_steps(x, steps)
        expected = _list(kv.tflite.Runner(fixed)(shorter))
        for made, other in zip(_list(runner(shorter)), expected, strict=True):
            np.testing.assert_array_equal(made, other)
        if quantization != "float32":
            expected = _list(kv.tflite.simulate(fixed, shorter))
            # TFLite Micro lacks TILE, which RepeatVector becomes.
            for kind in (Simulator,) if name == "tokens" else (Simulator, MicroRunner):
                for made, other in zip(_list(kind(path)(shorter)), expected, strict=True):
                    np.testing.assert_array_equal(made, other)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("cell", [kv.VanillaRNN, kv.FastRNN, layers.GRU, layers.LSTM])
def test_any_length_of_each_cell_up_to_512_steps(cell, every, quantization, tmp_path):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    inputs = keras.Input((None, F), name="x")
    model = keras.Model(inputs, layers.Dense(3, name="y")(cell(16, return_sequences=every)(inputs)))
    # max_error: the weights are random; this compares the integers of two files.
    options = {"quantization": quantization, "max_error": 9, "calibration_data": rng.normal(size=(16, 64, F))}
    path = tmp_path / "any.tflite"
    kv.tflite.export(model, path, timesteps=None, max_timesteps=512, **options)
    for steps in (1, 2, 17, 512):
        fixed = tmp_path / f"{steps}.tflite"
        kv.tflite.export(model, fixed, timesteps=steps, **options)
        x = rng.normal(size=(3, steps, F)).astype("float32")
        for runner in (kv.tflite.Runner, MicroRunner):
            np.testing.assert_array_equal(runner(path)(x), runner(fixed)(x))


def test_a_length_beyond_the_maximum_reads_nothing_beyond_the_tensors(tmp_path):
    kv.tflite.export(last_step(), tmp_path / "m.tflite", timesteps=None, calibration_data=X)
    runner = MicroRunner(tmp_path / "m.tflite")
    expected = runner(X)
    runner._length = dict(runner._length)  # of this runner alone
    engine, detail = runner._engine, runner._length
    write = engine.set
    engine.set = lambda d, a: write(d, np.array([10**6], np.int32) if d["index"] == detail["index"] else a)
    np.testing.assert_array_equal(runner(X), expected)


def test_the_runner_refuses_more_steps_than_the_file_holds(tmp_path):
    path = tmp_path / "m.tflite"
    kv.tflite.export(every_step(), path, quantization="float32", timesteps=None, max_timesteps=8)
    with pytest.raises(
        ValueError, match=r"`x` must have at most 8 time steps.*Received: 12 steps.*max_timesteps"
    ):
        kv.tflite.Runner(path)(X)


MIXING = {
    "convolution": lambda h: layers.Conv1D(3, 3, padding="same")(h),
    "pooling": lambda h: layers.GlobalAveragePooling1D()(h),
    "attention": lambda h: layers.MultiHeadAttention(1, 2)(h, h),
    "backwards": lambda h: kv.VanillaRNN(3, go_backwards=True, return_sequences=True)(h),
}


@pytest.mark.parametrize("kind", MIXING)
@pytest.mark.parametrize("x", [X, np.zeros_like(X)], ids=["data", "zeros"])
def test_layers_that_combine_time_steps_are_refused_for_any_length(kind, x, tmp_path):
    inputs = keras.Input((None, F))
    h = kv.VanillaRNN(4, return_sequences=True, bias_initializer="ones")(inputs)
    model = keras.Model(inputs, MIXING[kind](h))
    options = {"quantization": "float32", "calibration_data": x}
    with pytest.raises(ValueError, match=r"timesteps=None, where output .* depends on what follows"):
        kv.tflite.export(model, tmp_path / "m.tflite", timesteps=None, **options)
    assert list(tmp_path.iterdir()) == []
    kv.tflite.export(model, tmp_path / "m.tflite", timesteps=N, **options)


def test_a_shorter_sequence_inside_is_refused(tmp_path):
    inputs = keras.Input((None, F))
    h = kv.VanillaRNN(4)(layers.Conv1D(3, 3)(inputs))
    with pytest.raises(ValueError, match=r"has 10 time steps where the inputs have 12"):
        kv.tflite.export(keras.Model(inputs, h), tmp_path / "m.tflite", timesteps=None, calibration_data=X)


def test_a_model_with_its_own_number_of_steps_is_refused(tmp_path):
    inputs = keras.Input((T, F))
    model = keras.Model(inputs, kv.VanillaRNN(4)(inputs))
    for timesteps in (None, 4):
        message = f"`timesteps` must be left out.*timesteps={timesteps}.*" + re.escape(f"(None, {T}, {F})")
        with pytest.raises(ValueError, match=message):
            kv.tflite.export(model, tmp_path / "m", timesteps=timesteps, calibration_data=X)


def test_windows_cover_all_steps():
    x = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(lengths.windows_of(x, 2)[:3], [[0, 1], [2, 3], [3, 4]])
    np.testing.assert_array_equal(lengths.windows_of(x, 7)[0], [0, 1, 2, 3, 4, 0, 1])
    np.testing.assert_array_equal(lengths.windows_of(x, 5), x)


def streamed():
    inputs = keras.Input((None, F))
    h = layers.GRU(4, return_sequences=True)(kv.VanillaRNN(5, return_sequences=True)(inputs))
    return keras.Model(inputs, layers.Dense(3)(h))


def streamed_last():
    inputs = keras.Input((T, F))
    h = layers.LSTM(4, return_sequences=True)(layers.Masking()(inputs))
    return keras.Model(inputs, kv.FastRNN(3)(h))


@pytest.mark.parametrize(
    ("make", "quantization", "state"),
    covering([streamed, streamed_last], ["float32", "int8", "int16x8"], ["explicit", "internal"]),
)
def test_a_chunk_computes_what_single_steps_do(make, quantization, state, tmp_path):
    keras.utils.set_random_seed(0)
    model = make()
    options = {"form": "streaming", "quantization": quantization, "state": state, "calibration_data": X}
    kv.tflite.export(model, tmp_path / "one.tflite", **options)
    steps = kv.tflite.Runner(tmp_path / "one.tflite")(X)
    for chunk in (2, 3):
        path = tmp_path / f"{chunk}.tflite"
        kv.tflite.export(model, path, chunk=chunk, **options)
        runner = kv.tflite.Runner(path)
        made = runner(X)
        expected = steps if make is streamed else steps[:, chunk - 1 :: chunk]
        np.testing.assert_array_equal(made, expected)
        first = runner.step(X[0, :chunk])
        np.testing.assert_array_equal(first, made[0, :chunk] if make is streamed else made[0, 0])
        if quantization != "float32":
            np.testing.assert_array_equal(MicroRunner(path)(X), kv.tflite.simulate(path, X))
        with pytest.raises(ValueError, match=f"multiple of {chunk} time steps"):
            runner(X[:, : chunk + 1])


def test_the_other_tools_take_chunks(tmp_path):
    model, path = streamed(), tmp_path / "m.tflite"
    kv.tflite.export(model, path, form="streaming", chunk=3, calibration_data=X)
    found = kv.tflite.verify(model, path, X, micro=True)
    assert "an invoke takes several steps" in str(found)
    assert found.mean_error < 0.05
    timed = kv.tflite.benchmark(path, runs=3, warmup=0)
    assert timed.steps == 102, "the multiple of 3 after 100"
    assert timed.step_us["p50"] < timed.sequence_us["p50"] / 34
    assert firmware.differing(path, X, tmp_path / "c", firmware.gcc())[0] == 0


def test_the_other_tools_take_any_length(tmp_path):
    model, path = every_step(), tmp_path / "m.tflite"
    kv.tflite.export(model, path, timesteps=None, calibration_data=X)
    for steps in (5, T):
        assert kv.tflite.verify(model, path, X[:, :steps], micro=True).mean_error < 0.05
    assert kv.tflite.benchmark(path, runs=3, warmup=0).steps == T
    assert "length" in str(kv.tflite.inspect(path))
    with pytest.raises(ValueError, match="whose number of turns depends on data"):
        kv.tflite.write_c(path, tmp_path / "c")


def test_a_chunk_must_divide_the_number_of_steps_of_the_model(tmp_path):
    with pytest.raises(ValueError, match=r"`chunk` must divide .* 12. Received: chunk=5"):
        kv.tflite.export(streamed_last(), tmp_path / "m", form="streaming", chunk=5, calibration_data=X)
    kv.tflite.export(streamed(), tmp_path / "m", form="streaming", chunk=5, calibration_data=X)
