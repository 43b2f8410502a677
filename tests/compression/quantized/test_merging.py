import keras
import pytest
from keras import layers
from quantized_models import (
    FEATURES,
    STEPS,
    assert_round_trip,
    gradients,
    quantized_and_checked,
    signal,
)

import keras_vrnn as kv

EACH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


def of_two(build):
    a, b = keras.Input((STEPS, FEATURES), name="a"), keras.Input((STEPS, FEATURES), name="b")
    return keras.Model([a, b], build(a, b)), [signal(), signal(seed=9)]


@EACH
@pytest.mark.parametrize(
    "build",
    [
        lambda a, b: kv.VanillaRNN(4)(layers.Add()([a, b])),
        lambda a, b: kv.VanillaRNN(4)(layers.Concatenate()([a, b, a])),
        lambda a, b: kv.VanillaRNN(4)(layers.Concatenate(axis=1)([a, b])),
        lambda a, b: layers.Concatenate()([kv.VanillaRNN(4)(a), kv.VanillaRNN(3)(b)]),
    ],
)
def test_the_file_computes_the_same(build, quantization, tmp_path):
    quantized_and_checked(*of_two(build), quantization, tmp_path / "m.tflite")


@EACH
def test_terms_of_one_mask(quantization, tmp_path):
    data = signal()
    data[:, 3:] = 0
    x = keras.Input((STEPS, FEATURES), name="x")
    h = layers.Masking()(x)
    h = layers.Add()([kv.VanillaRNN(4, return_sequences=True)(h) for _ in range(2)])
    quantized_and_checked(keras.Model(x, kv.VanillaRNN(4)(h)), data, quantization, tmp_path / "m.tflite")


def test_all_weights_get_gradients_and_the_model_is_saved(tmp_path):
    model, x = of_two(lambda a, b: layers.Add()([kv.VanillaRNN(4)(a), layers.Dense(4)(kv.VanillaRNN(4)(b))]))
    made = kv.compression.quantize_aware(model, calibration_data=x)
    assert all(gradient.any() for gradient in gradients(made, x).values())
    assert_round_trip(made, x, tmp_path / "m.keras")


def test_three_terms_are_refused():
    model, x = of_two(lambda a, b: kv.VanillaRNN(4)(layers.Add(name="sum")([a, b, a])))
    with pytest.raises(ValueError, match=r"sum.*two inputs.*Write several Add layers"):
        kv.compression.quantize_aware(model, calibration_data=x)
