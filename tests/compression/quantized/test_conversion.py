"""A quantization-aware model has the graph of its model, without the layers that others take up."""

import keras
import numpy as np
import pytest
from keras import layers
from quantized_models import (
    FEATURES,
    STEPS,
    checked_against_file,
    quantized_and_checked,
    randomized,
    signal,
)

import keras_vrnn as kv
from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.conversion import converted

EACH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


def of_one(build):
    x = keras.Input((STEPS, FEATURES), name="x")
    return keras.Model(x, build(x)), signal()


def shared(x):
    dense, rnn = layers.Dense(4), kv.VanillaRNN(4, return_sequences=True)
    return dense(rnn(dense(rnn(layers.Dense(4)(x)))))


def nested(x):
    inside = keras.Input((STEPS, FEATURES))
    inner = keras.Model(inside, kv.VanillaRNN(4, return_sequences=True)(layers.Dense(3)(inside)))
    return layers.Dense(2)(inner(x))


def states(x):
    outputs, state = kv.VanillaRNN(4, return_state=True, return_sequences=True)(x)
    return [kv.VanillaRNN(4)(outputs, initial_state=state), state]


@EACH
@pytest.mark.parametrize("build", [shared, nested, states])
def test_the_file_computes_the_same(build, quantization, tmp_path):
    quantized_and_checked(*of_one(build), quantization, tmp_path / "m.tflite")


@EACH
def test_dictionaries_of_inputs_and_outputs(quantization, tmp_path):
    a, b = keras.Input((STEPS, FEATURES), name="a"), keras.Input((STEPS, FEATURES), name="b")
    outputs = {"p": layers.Dense(2)(kv.VanillaRNN(4)(a)), "q": kv.VanillaRNN(3)(b)}
    model, x = keras.Model({"a": a, "b": b}, outputs), {"a": signal(), "b": signal(seed=9)}
    quantized_and_checked(model, x, quantization, tmp_path / "m.tflite")


@EACH
def test_a_state_that_a_dense_layer_makes(quantization, tmp_path):
    a, b = keras.Input((STEPS, FEATURES), name="a"), keras.Input((FEATURES,), name="b")
    start = layers.Dense(4, activation="tanh")(b)
    model = keras.Model([a, b], kv.VanillaRNN(4, return_sequences=True)(a, initial_state=start))
    quantized_and_checked(model, [signal(), signal(FEATURES)], quantization, tmp_path / "m.tflite")


def exact_result(model):
    made = converted(model, "int8")
    with signals.calibrating():
        return made, keras.ops.convert_to_numpy(made(signal()))


def test_a_layer_of_two_models_stays_shared_and_is_not_folded():
    dense = layers.Dense(FEATURES)
    inner_input = keras.Input((STEPS, FEATURES))
    inner = keras.Model(inner_input, dense(inner_input))
    inputs = keras.Input((STEPS, FEATURES))
    made = layers.BatchNormalization()(dense(inner(inputs)))
    model = kv.Model(inputs, kv.VanillaRNN(3)(made))
    randomized(model)
    quantized, result = exact_result(model)
    np.testing.assert_allclose(result, model(signal()), atol=2e-6)  # float32 rounding
    assert sum("kernel" in weight.path and "dense" in weight.path for weight in quantized.weights) == 1


def test_layers_in_a_sequential_model_are_folded(tmp_path):
    model = kv.Sequential(
        [
            keras.Input((STEPS, FEATURES), name="x"),
            layers.Conv1D(6, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.3),
            kv.VanillaRNN(5, return_sequences=True),
            layers.Dense(3),
            layers.BatchNormalization(),
            layers.Activation("sigmoid"),
        ]
    )
    randomized(model)
    aware = checked_against_file(model, "int8", tmp_path)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in aware.layers)
    _, result = exact_result(model)
    np.testing.assert_allclose(result, model(signal()), atol=2e-6)  # float32 rounding


def test_layers_of_a_nested_model_are_folded():
    inner_input = keras.Input((STEPS, FEATURES))
    inner = keras.Model(inner_input, layers.ReLU()(layers.BatchNormalization()(layers.Dense(5)(inner_input))))
    inputs = keras.Input((STEPS, FEATURES))
    model = kv.Model(inputs, kv.VanillaRNN(3)(inner(inputs)))
    randomized(model)
    _, result = exact_result(model)
    np.testing.assert_allclose(result, model(signal()), atol=2e-6)  # float32 rounding


def test_a_trained_model_leaves_its_original_as_it_was():
    inputs = keras.Input((STEPS, FEATURES))
    model = kv.Model(inputs, kv.VanillaRNN(3)(layers.BatchNormalization()(layers.Dense(5)(inputs))))
    randomized(model)
    before = model.get_weights()
    aware = kv.compression.quantize_aware(model, calibration_data=signal())
    aware.compile("sgd", "mse", run_eagerly=True)
    aware.fit(signal(), np.zeros((8, 3)), epochs=1, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
