"""Normalizations alone in training compute the integers of their file."""

import numpy as np
import pytest
from keras import layers
from quantized_models import assert_gradients_agree, checked_against_file, model_of, signal

import keras_vrnn as kv
from keras_vrnn.compression.quantized import signals

CASES = {
    "behind relu": lambda: [layers.Dense(5, activation="relu"), layers.BatchNormalization()],
    "first": lambda: [layers.BatchNormalization()],
    "normalization": lambda: [layers.Normalization(mean=[0.5, -1, 0, 2], variance=[1, 4, 0.2, 1])],
    "inverted": lambda: [layers.Normalization(mean=0.5, variance=2, invert=True)],
    "rescaling": lambda: [layers.Rescaling(0.3, offset=-0.2)],
    "no offset": lambda: [layers.Rescaling(0.3)],
    "nothing": lambda: [layers.Rescaling(1.0)],
}
# int16x8 where its arithmetic differs.
RUNS = [*((case, "int8") for case in CASES), ("first", "int16x8"), ("rescaling", "int16x8")]


@pytest.mark.parametrize(("case", "quantization"), RUNS)
def test_training_computes_the_integers_of_the_file(case, quantization, tmp_path):
    model = model_of(*CASES[case]())
    aware = checked_against_file(model, quantization, tmp_path)
    with signals.calibrating():
        exact = aware(signal())
    # float32 rounding: the factors are multiplied in another order
    np.testing.assert_allclose(exact, model(signal()), atol=5e-6)
    assert_gradients_agree(aware)


def test_another_axis_is_refused():
    model = model_of(layers.BatchNormalization(axis=1, name="steps"))
    with pytest.raises(ValueError, match=r"'steps'.*axis=1.*Use axis=-1"):
        kv.compression.quantize_aware(model, calibration_data=signal())
