"""Quantization-aware gated layers: every integer equals that of the exported file."""

import warnings

import keras
import numpy as np
import pytest
from exported_models import random_data, randomize
from gated_models import gated_model
from keras import layers
from quantized_models import assert_round_trip

import keras_vrnn as kv


def trained(model, x, quantization, weight_bits=8, jit_compile=False):
    """Two updates; without XLA they are made eagerly, because a trace takes longer."""
    aware = kv.compression.quantize_aware(model, quantization, weight_bits=weight_bits, calibration_data=x)
    aware.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=jit_compile, run_eagerly=not jit_compile)
    aware.fit(x, np.zeros_like(model(x)), epochs=2, verbose=0)
    return aware


def differing(aware, x, path):
    """Exports a model; returns how many of its outputs are not the integers of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kv.tflite.AccuracyWarning)
        kv.tflite.export(aware, path, max_error=9)
    made, expected = kv.tflite.simulate(path, x), aware.predict(x, verbose=0)
    details = kv.tflite.Runner(path).output_details
    (detail,) = details.values()
    return int(np.sum(np.abs(made - expected) > detail["quantization"][0] / 2))


@pytest.mark.parametrize(("seed", "jit_compile"), [(0, True), (1, False), (2, False), (5, False)])
def test_training_computes_the_integers_of_the_file(seed, jit_compile, tmp_path):
    model, x = gated_model(seed)
    assert differing(trained(model, x, "int8", jit_compile=jit_compile), x, tmp_path / "m") == 0


@pytest.mark.parametrize(("seed", "quantization", "bits"), [(3, "int16x8", 8), (4, "int8", 4)])
def test_other_schemes(seed, quantization, bits, tmp_path):
    model, x = gated_model(seed, only_native=True)
    assert differing(trained(model, x, quantization, bits), x, tmp_path / "m") == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 10))
@pytest.mark.parametrize(("quantization", "bits"), [("int8", 8), ("int16x8", 8), ("int8", 4)])
def test_many_models(seed, quantization, bits, tmp_path):
    model, x = gated_model(seed, only_native=quantization == "int16x8")
    assert differing(trained(model, x, quantization, bits, jit_compile=True), x, tmp_path / "m") == 0


def small(layer):
    inputs = keras.Input((6, 3), name="x")
    return randomize(keras.Model(inputs, layers.Dense(2, name="y")(layer(inputs))))


X = random_data(16, 6, 3)


def test_a_model_is_saved_and_loaded(tmp_path):
    aware = kv.compression.quantize_aware(small(layers.LSTM(4)), "int8", calibration_data=X)
    assert_round_trip(aware, X, tmp_path / "m.keras")


def test_stateful_layers_go_on_from_their_states():
    inputs = keras.Input(batch_shape=(4, 6, 3), name="x")
    model = randomize(keras.Model(inputs, layers.GRU(4, return_sequences=True, stateful=True)(inputs)))
    aware = kv.compression.quantize_aware(model, "int8", calibration_data=X)
    first, second = aware(X[:4]), aware(X[:4])
    whole = keras.Sequential([keras.Input((12, 3)), layers.GRU(4, return_sequences=True)])
    whole.set_weights(model.get_weights())
    expected = np.array(whole(np.concatenate([X[:4], X[:4]], axis=1)))
    # int8 steps of the state, of which a random model makes a few
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, atol=0.06)


def test_dropout_in_training():
    model = small(layers.GRU(4, dropout=0.3, recurrent_dropout=0.3))
    aware = kv.compression.quantize_aware(model, "int8", calibration_data=X)
    one, other = (np.array(aware(X, training=True)) for _ in range(2))
    assert np.abs(one - other).max() > 0
    np.testing.assert_array_equal(aware(X), aware(X))


def test_an_activation_without_int16_form_is_refused():
    with pytest.raises(
        ValueError, match=r"'elu' has no integer form in training with quantization='int16x8'"
    ):
        kv.compression.quantize_aware(small(layers.LSTM(4, activation="elu")), "int16x8", calibration_data=X)


def test_zeroed_last_outputs_are_refused():
    layer = layers.GRU(4, zero_output_for_mask=True)
    with pytest.raises(ValueError, match="Set zero_output_for_mask=False"):
        kv.compression.quantize_aware(small(layer), "int8", calibration_data=X)
