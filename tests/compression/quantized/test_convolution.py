"""Convolutions in training compute the integers of their file."""

import keras
import pytest
from keras import layers
from quantized_models import assert_gradients_agree, checked_against_file, model_of

import keras_vrnn as kv

CASES = {
    "valid": lambda: layers.Conv1D(6, 3),
    "same strides": lambda: layers.Conv1D(6, 3, padding="same", strides=2, activation="relu"),
    "causal dilated groups": lambda: layers.Conv1D(
        6, 3, padding="causal", dilation_rate=2, groups=2, use_bias=False
    ),
    "tanh": lambda: layers.Conv1D(6, 4, padding="same", activation="tanh"),
    "depthwise": lambda: layers.DepthwiseConv1D(3, depth_multiplier=2, padding="same", activation="relu"),
    "depthwise strides": lambda: layers.DepthwiseConv1D(6, strides=3, padding="valid"),
}
# int16x8 where its arithmetic differs.
RUNS = [
    *((case, "int8") for case in CASES),
    ("causal dilated groups", "int16x8"),
    ("tanh", "int16x8"),
    ("depthwise strides", "int16x8"),
]


@pytest.mark.parametrize(("case", "quantization"), RUNS)
def test_training_computes_the_integers_of_the_file(case, quantization, tmp_path):
    model = model_of(CASES[case]())
    assert_gradients_agree(checked_against_file(model, quantization, tmp_path))


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_sums_beyond_the_integers_of_float32(quantization, tmp_path):
    # 21 · 40 inputs of up to 255 · 127 are more than 2^24.
    model = model_of(layers.Conv1D(40, 3, padding="same"), layers.Conv1D(5, 21, padding="same"))
    checked_against_file(model, quantization, tmp_path)


def test_a_sequence_of_varying_length():
    inputs = keras.Input((None, 4))
    made = kv.VanillaRNN(3)(layers.Conv1D(5, 3, padding="same")(inputs))
    x = keras.random.normal((8, 9, 4), seed=1).numpy()
    aware = kv.compression.quantize_aware(kv.Model(inputs, made), calibration_data=x)
    assert aware(x).shape == (8, 3)


def test_padding_that_depends_on_a_varying_length_is_refused():
    inputs = keras.Input((None, 4))
    made = kv.VanillaRNN(3)(layers.Conv1D(5, 3, strides=2, padding="same", name="wide")(inputs))
    x = keras.random.normal((8, 9, 4), seed=1).numpy()
    with pytest.raises(ValueError, match=r"'wide'.*Input of fixed length"):
        kv.compression.quantize_aware(kv.Model(inputs, made), calibration_data=x)
