"""Every form with every quantization, and streaming against the sequence form."""

import keras
import numpy as np
import pytest
from covering import covering
from exported_models import random_data
from keras import layers

import keras_vrnn as kv
from keras_vrnn.quantization.schemes import SCHEMES

rng = np.random.default_rng(3)
X = rng.normal(size=(30, 11, 4)).astype("float32")
TOKENS = rng.integers(1, 20, (30, 11)).astype("int32") * (np.arange(11) < rng.integers(2, 12, (30, 1)))

# Mean error relative to the range of the outputs. float16: 11 bits of mantissa over a few steps. dynamic: int8
# weights with one scale per unit, 1/254 of the largest at worst. int16x8: the same weights with one scale in all.
# int8: z, r and a rounded to about 1/100 of their range at every step. int8x4: weights of 15 values.
BARS = {"float32": 1e-6, "float16": 5e-4, "dynamic": 0.01, "int8": 0.03, "int8x4": 0.08, "int16x8": 0.01}


def stack(return_sequences):
    """Two recurrent layers behind a dense front, and a head; random asymmetric weights."""
    model = keras.Sequential(
        [
            keras.Input((11, 4), name="x"),
            layers.Dense(5, "relu"),
            kv.VanillaRNN(6, return_sequences=True),
            layers.SimpleRNN(7, activation="relu", return_sequences=return_sequences),
            layers.Dense(3, name="y"),
        ]
    )
    weights = np.random.default_rng(8)
    for v in model.weights:
        v.assign(weights.normal(scale=0.8 / np.sqrt(v.shape[0]), size=v.shape))
    return model


@pytest.mark.parametrize(
    ("form", "quantization", "return_sequences"),
    covering(["sequence", "unrolled", "streaming"], list(SCHEMES), [False, True]),
)
def test_every_pair_is_close_to_keras(form, quantization, return_sequences, tmp_path):
    model = stack(return_sequences)
    kv.tflite.export(model, tmp_path / "m", form=form, quantization=quantization, calibration_data=X)
    report = kv.tflite.verify(model, tmp_path / "m", X)
    assert report.mean_error <= BARS[quantization] * np.ptp(model.predict(X, verbose=0))


@pytest.mark.parametrize("quantization", SCHEMES)
@pytest.mark.parametrize("form", ["sequence", "unrolled", "streaming"])
def test_masked_tokens_in_every_form(form, quantization, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((11,), dtype="int32", name="tokens"),
            layers.Embedding(20, 5, mask_zero=True),
            kv.VanillaRNN(6, return_sequences=True),
            kv.VanillaRNN(4),
        ]
    )
    kv.tflite.export(model, tmp_path / "m", form=form, quantization=quantization, calibration_data=TOKENS)
    report = kv.tflite.verify(model, tmp_path / "m", TOKENS)
    assert report.mean_error <= BARS[quantization] * np.ptp(model.predict(TOKENS, verbose=0))


@pytest.mark.parametrize("quantization", ["int8", "int8x4", "int16x8"])
def test_streaming_gives_the_integers_of_the_sequence_form(quantization, tmp_path):
    # Without layers around: those are calibrated on other samples, steps instead of sequences.
    inputs = keras.Input((11, 4), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(6, return_sequences=True)(inputs))
    outputs = []
    for form in ("sequence", "unrolled", "streaming"):
        kv.tflite.export(model, tmp_path / form, form=form, quantization=quantization, calibration_data=X)
        outputs.append(kv.tflite.Runner(tmp_path / form)(X))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_stepping_and_reset(tmp_path):
    model = stack(return_sequences=True)
    result = kv.tflite.export(model, tmp_path / "m", form="streaming", calibration_data=X)
    signature = result.signatures["serving_default"]
    assert [name.endswith("state_in") for name in signature["inputs"]] == [False, True, True]
    assert [name.endswith("state_out") for name in signature["outputs"]] == [False, True, True]
    runner = kv.tflite.Runner(result.path)
    whole = runner(X[:2])
    for expected, sample in zip(whole, X[:2], strict=True):
        np.testing.assert_array_equal(np.stack([runner.step(x_t) for x_t in sample]), expected)
        runner.reset()
    with pytest.raises(ValueError, match=r"must have the shape \(4\)"):
        runner.step(X[0])
    with pytest.raises(ValueError, match=r"must have the shape \(samples, time, 4\)"):
        runner(X[0])


def test_a_sequence_file_has_no_step(tmp_path):
    kv.tflite.export(stack(True), tmp_path / "m", quantization="float32")
    with pytest.raises(ValueError, match="this file takes whole sequences"):
        kv.tflite.Runner(tmp_path / "m").step(X[0, 0])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Bidirectional(kv.VanillaRNN(3, return_sequences=True)),
        lambda: kv.VanillaRNN(3, go_backwards=True, return_sequences=True),
        lambda: layers.Conv1D(3, 2, padding="causal"),
        lambda: layers.Conv1D(3, 3),
    ],
    ids=["bidirectional", "backwards", "causal convolution", "convolution"],
)
def test_models_that_look_around_in_time_do_not_stream(layer, tmp_path):
    model = keras.Sequential([keras.Input((11, 4)), layer(), kv.VanillaRNN(3)])
    with pytest.raises(ValueError, match="can't be exported with form='streaming'; use form='sequence'"):
        kv.tflite.export(model, tmp_path / "m", form="streaming", calibration_data=X)
    with pytest.raises(ValueError, match="can't be exported with form='streaming'; use form='sequence'"):
        kv.tflite.export(model, tmp_path / "m", form="streaming", quantization="float32")
    assert list(tmp_path.iterdir()) == []


def test_a_state_from_elsewhere_in_another_format(tmp_path):
    inputs = keras.Input((11, 4))
    state = layers.Dense(6)(layers.Flatten()(inputs))
    model = keras.Model(inputs, kv.VanillaRNN(6)(inputs, initial_state=state))
    kv.tflite.export(model, tmp_path / "m", calibration_data=X)
    # A state read with a wrong scale starts the recurrence anywhere; two int8 steps of the state are allowed.
    assert kv.tflite.verify(model, tmp_path / "m", X).mean_error <= 2 / 128
    with pytest.raises(ValueError, match="can't be exported with form='streaming'"):
        kv.tflite.export(model, tmp_path / "s", form="streaming", calibration_data=X)


@pytest.mark.parametrize("quantization", ["int8", "int8x4", "int16x8"])
@pytest.mark.parametrize("form", ["sequence", "unrolled", "streaming"])
def test_tflite_micro_loads_every_integer_form(form, quantization, tmp_path):
    from tflite_micro.python.tflite_micro import runtime

    model = stack(return_sequences=True)
    kv.tflite.export(model, tmp_path / "m", form=form, quantization=quantization, calibration_data=X)
    interpreter = runtime.Interpreter.from_file(str(tmp_path / "m"))
    interpreter.invoke()
    assert np.isfinite(interpreter.get_output(0).astype(float)).all()


@pytest.mark.parametrize("tokens", [False, True], ids=["signal", "float tokens"])
@pytest.mark.parametrize("kind", ["Sequential", "functional"])
def test_models_that_are_compiled_to_clip(kind, tokens, tmp_path):
    """Forms other than the model's own are built from its layers, not from how it trains."""
    inputs = keras.Input((6,) if tokens else (6, 3))
    parts = [*([keras.layers.Embedding(9, 3)] if tokens else []), kv.VanillaRNN(4), keras.layers.Dense(2)]
    if kind == "Sequential":
        model = kv.Sequential([inputs, *parts])
    else:
        y = inputs
        for part in parts:
            y = part(y)
        model = kv.Model(inputs, y)
    model.compile("adam", "mse", global_clipnorm=1.0, nonfinite="raise")
    x = random_data(20, 6, 3) if not tokens else np.arange(120).reshape(20, 6) % 9
    y = model.predict(x, verbose=0)
    for form in ("sequence", "unrolled", "streaming"):
        kv.tflite.export(model, tmp_path / form, form=form, quantization="float32", calibration_data=x)
        made = kv.tflite.Runner(tmp_path / form)(x)
        np.testing.assert_allclose(
            made[:, -1] if form == "streaming" else made, y, atol=1e-5
        )  # float32 rounding
