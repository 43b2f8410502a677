"""The plain forms of Keras layers compute what Keras' own `call` does at inference."""

import keras
import numpy as np
import pytest
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.capture.substitutes import plain_layers

X = random_data(3, 6, 4)
MASK = np.arange(6) < np.array([[6], [2], [4]])


def number(mask):
    return keras.ops.cast(mask, "float32")


def model_of(layer):
    inputs = keras.Input((6, 4), name="x")
    return randomize(keras.Model(inputs, layer(inputs)))


LAYERS = {
    "LayerNormalization": layers.LayerNormalization,
    "LayerNormalization, plain": lambda: layers.LayerNormalization(center=False, scale=False),
    "LayerNormalization over time": lambda: layers.LayerNormalization(axis=1),
    "GlobalMaxPooling1D": layers.GlobalMaxPooling1D,
    "GlobalMaxPooling1D, kept": lambda: layers.GlobalMaxPooling1D(keepdims=True),
    "GlobalAveragePooling1D": layers.GlobalAveragePooling1D,
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(3, "relu")),
    "TimeDistributed recurrence": lambda: layers.TimeDistributed(
        keras.Sequential([layers.Reshape((2, 2)), kv.VanillaRNN(3)])
    ),
    "Masking": lambda: layers.Masking(-1.0),
}


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
@pytest.mark.parametrize("kind", LAYERS)
def test_same_outputs(kind, quantization):
    model = model_of(LAYERS[kind]())
    x = np.where(MASK[..., None], X, -1.0).astype("float32")
    expected = np.asarray(model(x))
    with plain_layers(model, quantization, number):
        received = model(x)
    np.testing.assert_allclose(received, expected, atol=1e-5)  # float32 rounding
    np.testing.assert_array_equal(model(x), expected)  # afterwards the layers are their own again


@pytest.mark.parametrize("quantization", ["float32", "int16x8"])
def test_the_mean_counts_the_steps_that_are_not_masked(quantization):
    model = model_of(layers.GlobalAveragePooling1D())
    expected = np.asarray(model.layers[-1](X, mask=MASK))
    with plain_layers(model, quantization, number):
        received = model.layers[-1](X, mask=MASK)
    np.testing.assert_allclose(received, expected, atol=1e-5)  # float32 rounding


def test_an_embedding_is_one_gather():
    inputs = keras.Input((6,), dtype="int32")
    model = randomize(keras.Model(inputs, layers.Embedding(9, 4)(inputs)))
    tokens = np.arange(12).reshape(2, 6) % 9
    expected = model(tokens)
    with plain_layers(model, "int8", number):
        np.testing.assert_array_equal(model(tokens), expected)


def test_subclasses_keep_their_own_call():
    class Doubled(layers.LayerNormalization):
        def call(self, inputs):
            return 2 * super().call(inputs)

    model = model_of(Doubled())
    expected = model(X)
    with plain_layers(model, "int8", number):
        np.testing.assert_array_equal(model(X), expected)


@pytest.mark.parametrize("kind", [layers.GRU, layers.LSTM, layers.SimpleRNN, kv.VanillaRNN])
@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_dropout_of_a_cell_is_not_in_the_file(kind, form, tmp_path):
    """Keras draws its masks at inference too, from a generator that the converter refuses."""
    layer = kind(4, dropout=0.2, recurrent_dropout=0.3, return_sequences=True)
    model = randomize(kv.Sequential([keras.Input((6, 3)), layer, layers.Dense(2)]))
    x = random_data(20, 6, 3)
    kv.tflite.export(model, tmp_path / "m.tflite", form=form, quantization="float32", calibration_data=x)
    made = kv.tflite.Runner(tmp_path / "m.tflite")(x)
    np.testing.assert_allclose(made, model.predict(x, verbose=0), atol=1e-5)  # float32 rounding of six steps
    assert (layer.cell.dropout, layer.cell.recurrent_dropout) == (0.2, 0.3)
