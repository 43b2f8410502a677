"""Means over time in training are the integers of the file."""

import keras
import pytest
from keras import layers
from quantized_models import (
    FEATURES,
    STEPS,
    assert_gradients_agree,
    checked_against_file,
    model_of,
    signal,
)

import keras_vrnn as kv

CASES = {
    "pairs": lambda: [layers.Conv1D(6, 3), layers.AveragePooling1D(2)],
    "same": lambda: [layers.Conv1D(6, 3), layers.AveragePooling1D(3, strides=2, padding="same")],
    "behind relu": lambda: [layers.Conv1D(6, 3, activation="relu"), layers.AveragePooling1D(4, strides=1)],
}
# int16x8 where its arithmetic differs.
RUNS = [*((case, "int8") for case in CASES), ("pairs", "int16x8")]


@pytest.mark.parametrize(("case", "quantization"), RUNS)
def test_average_pooling(case, quantization, tmp_path):
    model = model_of(*CASES[case]())
    assert_gradients_agree(checked_against_file(model, quantization, tmp_path))


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_global_average_pooling(quantization, tmp_path):
    model = model_of(
        layers.Conv1D(6, 3, activation="relu"),
        kv.VanillaRNN(5, return_sequences=True),
        layers.GlobalAveragePooling1D(),
        layers.Dense(3),
        recurrent=False,
    )
    assert_gradients_agree(checked_against_file(model, quantization, tmp_path))


def test_a_mean_with_a_mask_is_refused():
    inputs = keras.Input((STEPS, FEATURES))
    pooling = layers.GlobalAveragePooling1D(name="mean")
    mask = keras.Input((STEPS,), dtype="bool")
    states = kv.VanillaRNN(3, return_sequences=True)(inputs)
    model = kv.Model([inputs, mask], pooling(states, mask=mask))
    with pytest.raises(ValueError, match=r"'mean'.*masked steps"):
        kv.compression.quantize_aware(model, calibration_data=[signal(), signal()[:, :, 0] > 0])
