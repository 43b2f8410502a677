"""The types of a model's inputs, and models on other inputs."""

import keras
import numpy as np
import pytest
from exported_models import random_data
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.capture.inputs import (
    with_float32_inputs,
    with_inputs,
    with_integer_tokens,
)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_token_inputs_of_any_type_become_int32(dtype):
    tokens, signal = keras.Input((9,), dtype=dtype, name="t"), keras.Input((9, 2), name="s")
    x = layers.Concatenate()([layers.Embedding(30, 4)(tokens), signal])
    made = with_integer_tokens(keras.Model([tokens, signal], kv.VanillaRNN(3)(x)))
    assert [t.dtype for t in made.inputs] == ["int32", "float32"]
    assert [t.name for t in made.inputs] == ["t", "s"]


def test_float_inputs_become_float32():
    inputs = keras.Input((9, 2), dtype="float64", name="s")
    model = keras.Model(inputs, kv.VanillaRNN(3)(inputs))
    made = with_float32_inputs(model)
    assert made.inputs[0].dtype == "float32"
    assert with_float32_inputs(made) is made


def test_models_inside_follow_and_shared_ones_stay_shared():
    block = keras.Sequential([keras.Input((9, 4)), layers.Dense(4), kv.VanillaRNN(4, return_sequences=True)])
    inputs = keras.Input((9, 4), name="x")
    model = keras.Model(inputs, layers.Add()([block(inputs), block(block(inputs))]))
    model.compile("adam", "mse")
    made = with_inputs(model, [keras.Input((1, 4), name="x")])
    assert made.output.shape == (None, 1, 4)
    assert (
        sum(isinstance(layer, keras.Sequential) or "functional" in layer.name for layer in made.layers) == 1
    )
    assert not made.compiled
    x = random_data(3, 9, 4)
    # The first step of both starts from zero; float32 rounding.
    np.testing.assert_allclose(made(x[:, :1]), np.asarray(model(x))[:, :1], atol=1e-6)
    assert [v.path for v in made.weights] == [v.path for v in model.weights]
