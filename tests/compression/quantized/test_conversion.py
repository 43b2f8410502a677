"""A quantization-aware model has the graph of its model, less the layers that others take up."""

import keras
import numpy as np
from keras import layers
from quantized_models import FEATURES, STEPS, check_against_file, randomize, samples

import keras_vrnn as kv
from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.conversion import converted


def exact_result(model):
    made = converted(model, "int8")
    with signals.calibrating():
        return made, keras.ops.convert_to_numpy(made(samples()))


def test_a_layer_of_two_models_stays_shared_and_is_not_folded():
    dense = layers.Dense(FEATURES)
    inner_input = keras.Input((STEPS, FEATURES))
    inner = keras.Model(inner_input, dense(inner_input))
    inputs = keras.Input((STEPS, FEATURES))
    made = layers.BatchNormalization()(dense(inner(inputs)))
    model = kv.Model(inputs, kv.VanillaRNN(3)(made))
    randomize(model)
    quantized, result = exact_result(model)
    np.testing.assert_allclose(result, model(samples()), atol=2e-6)  # float32 rounding
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
    randomize(model)
    aware = check_against_file(model, "int8", tmp_path)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in aware.layers)
    _, result = exact_result(model)
    np.testing.assert_allclose(result, model(samples()), atol=2e-6)  # float32 rounding


def test_layers_of_a_nested_model_are_folded():
    inner_input = keras.Input((STEPS, FEATURES))
    inner = keras.Model(inner_input, layers.ReLU()(layers.BatchNormalization()(layers.Dense(5)(inner_input))))
    inputs = keras.Input((STEPS, FEATURES))
    model = kv.Model(inputs, kv.VanillaRNN(3)(inner(inputs)))
    randomize(model)
    _, result = exact_result(model)
    np.testing.assert_allclose(result, model(samples()), atol=2e-6)  # float32 rounding


def test_a_trained_model_leaves_its_original_as_it_was():
    inputs = keras.Input((STEPS, FEATURES))
    model = kv.Model(inputs, kv.VanillaRNN(3)(layers.BatchNormalization()(layers.Dense(5)(inputs))))
    randomize(model)
    before = model.get_weights()
    aware = kv.compression.quantize_aware(model, calibration_data=samples())
    aware.compile("sgd", "mse")
    aware.fit(samples(), np.zeros((16, 3)), epochs=1, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
