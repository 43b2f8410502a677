"""Layers behind a linear layer become part of it."""

import keras
import numpy as np
import pytest
from keras import layers
from quantized_models import (
    FEATURES,
    STEPS,
    assert_gradients_agree,
    checked_against_file,
    model_of,
    randomized,
    signal,
)

import keras_vrnn as kv
from keras_vrnn.compression.quantized import signals
from keras_vrnn.compression.quantized.folding import affine, folded

CASES = {
    "conv": lambda: [layers.Conv1D(6, 4, use_bias=False), layers.BatchNormalization(), layers.ReLU()],
    "depthwise": lambda: [
        layers.DepthwiseConv1D(3, depth_multiplier=2),
        layers.BatchNormalization(center=False),
        layers.Activation("tanh"),
    ],
    "dense": lambda: [layers.Dense(5), layers.BatchNormalization(scale=False), layers.ReLU(6.0)],
    "activation": lambda: [layers.Dense(5), layers.Activation("sigmoid")],
    "normalization": lambda: [layers.Dense(5, use_bias=False), layers.BatchNormalization()],
}
# int16x8 where its arithmetic differs.
RUNS = [*((case, "int8") for case in CASES), ("conv", "int16x8"), ("depthwise", "int16x8")]


def number_of(model, kind):
    return sum(isinstance(layer, kind) for layer in model.layers)


@pytest.mark.parametrize(("case", "quantization"), RUNS)
def test_the_layers_become_one(case, quantization, tmp_path):
    model = model_of(*CASES[case]())
    aware = checked_against_file(model, quantization, tmp_path)
    assert number_of(aware, (layers.BatchNormalization, layers.Activation, layers.ReLU, layers.Softmax)) == 0
    assert len(aware.layers) == 4  # input, its rounding, the layer, the recurrence
    with signals.calibrating():
        exact = aware(signal())
    # float32 rounding, of a product with the factor before the sum instead of behind it
    np.testing.assert_allclose(exact, model(signal()), atol=2e-6)
    assert_gradients_agree(aware)


def test_a_softmax_becomes_part_of_its_layer(tmp_path):
    model = model_of(layers.Dense(5), layers.Softmax())
    aware = checked_against_file(model, "int8", tmp_path)
    assert number_of(aware, layers.Softmax) == 0


def test_a_result_that_others_read_stays():
    inputs = keras.Input((STEPS, FEATURES))
    dense = layers.Dense(5)(inputs)
    normal = layers.BatchNormalization()(dense)
    model = kv.Model(inputs, [normal, dense])
    assert folded(model) == ({}, set())
    assert folded(kv.Model(inputs, layers.Add()([normal, dense]))) == ({}, set())
    merged, absorbed = folded(kv.Model(inputs, normal))
    assert len(merged) == len(absorbed) == 1


def test_a_layer_that_is_used_twice_stays():
    inputs = keras.Input((STEPS, FEATURES))
    dense, normal = layers.Dense(FEATURES), layers.BatchNormalization()
    twice = normal(dense(normal(dense(inputs))))
    assert folded(kv.Model(inputs, twice)) == ({}, set())


def test_a_layer_in_another_model_stays():
    inputs = keras.Input((STEPS, FEATURES))
    dense = layers.Dense(FEATURES)
    model = kv.Model(inputs, layers.ReLU()(dense(inputs)))
    assert folded(model, {id(dense)}) == ({}, set())


def test_layers_that_another_model_called_before():
    dense, normal, softmax = layers.Dense(5), layers.BatchNormalization(), layers.Softmax()
    models = []
    for _ in range(2):
        inputs = keras.Input((STEPS, FEATURES))
        models.append(kv.Model(inputs, softmax(normal(dense(inputs)))))
    for model in models:
        merged, absorbed = folded(model)
        assert set(merged) == {id(dense)}
        assert absorbed == {id(normal), id(softmax)}


def test_a_normalization_over_another_axis_stays():
    model = model_of(layers.Dense(5), layers.BatchNormalization(axis=1), recurrent=False)
    assert folded(model) == ({}, set())


def test_the_factors_of_a_normalization():
    layer = layers.BatchNormalization()
    layer.build((None, 3))
    inputs = keras.Input((3,))
    randomized(kv.Model(inputs, layer(inputs)))
    x = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
    factor, offset = affine(layer)
    np.testing.assert_allclose(x * factor + offset, layer(x), rtol=1e-5, atol=1e-6)  # float32 rounding
