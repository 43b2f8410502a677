import keras
import pytest
from keras import layers
from quantized_models import (
    FEATURES,
    STEPS,
    quantized_and_checked,
    signal,
    tokens,
)

import keras_vrnn as kv

EACH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


@EACH
def test_masks_and_dense_layers_over_time(quantization, tmp_path):
    x = keras.Input((STEPS,), name="x", dtype="int32")
    h = layers.Embedding(9, 3, mask_zero=True)(x)
    h = layers.SimpleRNN(4, return_sequences=True, zero_output_for_mask=True)(h)
    model = keras.Model(x, layers.TimeDistributed(layers.Dense(2, activation="sigmoid"))(h))
    quantized_and_checked(model, tokens(), quantization, tmp_path / "m.tflite")


@EACH
def test_masking(quantization, tmp_path):
    data = signal()
    data[:, 3:], data[2] = 0, 0
    x = keras.Input((STEPS, FEATURES), name="x")
    model = keras.Model(x, kv.VanillaRNN(4)(layers.Masking()(x)))
    quantized_and_checked(model, data, quantization, tmp_path / "m.tflite")
