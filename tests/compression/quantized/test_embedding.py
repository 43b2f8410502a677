import keras
import numpy as np
import pytest
from keras import layers
from quantized_models import (
    STEPS,
    assert_round_trip,
    gradients,
    quantized_and_checked,
    tokens,
)

import keras_vrnn as kv

EACH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


def model_of_tokens(mask_zero, dtype="int32"):
    x = keras.Input((STEPS,), name="x", dtype=dtype)
    h = layers.Embedding(9, 3, mask_zero=mask_zero, name="table")(x)
    return keras.Model(x, kv.VanillaRNN(4, return_sequences=True)(h))


@EACH
@pytest.mark.parametrize("mask_zero", [False, True])
def test_the_file_computes_the_same(quantization, mask_zero, tmp_path):
    quantized_and_checked(model_of_tokens(mask_zero), tokens(), quantization, tmp_path / "m.tflite")


def test_tokens_of_a_float_input_are_not_rounded(tmp_path):
    made = quantized_and_checked(model_of_tokens(True, "float32"), tokens(), "int8", tmp_path / "m.tflite")
    assert made.inputs[0].dtype == "int32"


def test_tokens_of_a_nested_model(tmp_path):
    inside = keras.Input((STEPS,))
    inner = keras.Model(inside, layers.Embedding(9, 3, mask_zero=True)(inside))
    x = keras.Input((STEPS,), name="x", dtype="int32")
    model = keras.Model(x, kv.VanillaRNN(4)(inner(x)))
    quantized_and_checked(model, tokens(), "int8", tmp_path / "m.tflite")


def test_rows_that_occur_get_gradients_and_the_model_is_saved(tmp_path):
    x = tokens()
    made = kv.compression.quantize_aware(model_of_tokens(False), "int8", calibration_data=x)
    (found,) = (gradient for path, gradient in gradients(made, x).items() if path.startswith("table"))
    assert sorted(np.unique(x)) == sorted(np.flatnonzero(found.any(axis=1)))
    assert_round_trip(made, x, tmp_path / "m.keras")
