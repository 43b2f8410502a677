import keras
import pytest
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


@EACH
@pytest.mark.parametrize(
    "options",
    [
        {"return_sequences": True},
        {"bidirectional": True, "merge_mode": "sum"},
        {"return_state": True, "activation": "relu"},
    ],
)
def test_the_file_computes_the_same(options, quantization, tmp_path):
    x = keras.Input((STEPS, FEATURES), name="x")
    made = kv.StackedVanillaRNN([4, 3], dropout=0.1, **options)(x)
    model = keras.Model(x, list(made) if isinstance(made, (list, tuple)) else made)
    quantized_and_checked(model, signal(), quantization, tmp_path / "m.tflite")


def test_all_weights_get_gradients_and_the_model_is_saved(tmp_path):
    x = keras.Input((STEPS, FEATURES), name="x")
    model = keras.Model(x, kv.StackedVanillaRNN([4, 3], bidirectional=True, seed=1)(x))
    made = kv.compression.quantize_aware(model, calibration_data=signal())
    assert all(gradient.any() for gradient in gradients(made, signal()).values())
    assert_round_trip(made, signal(), tmp_path / "m.keras")
