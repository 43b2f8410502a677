import keras
import pytest
from keras import layers
from quantized_models import FEATURES, STEPS, signal

import keras_vrnn as kv


class Own(layers.Dense):
    """A layer of a user."""


@pytest.mark.parametrize(
    ("layer", "kind", "way"),
    [
        (layers.LayerNormalization(name="odd"), "LayerNormalization", "Replace it by BatchNormalization"),
        (layers.Lambda(lambda x: 2 * x, name="odd"), "Lambda", "Replace it by layers of Keras"),
        (layers.Dense(4, activation="elu", name="odd"), "Dense", "Replace it by linear, relu"),
        (Own(4, name="odd"), "Own", "Replace it by Dense itself"),
        (layers.Masking(1.0, name="odd"), "Masking", "Masking\\(0.0\\)"),
        (layers.TimeDistributed(layers.Flatten(), name="odd"), "TimeDistributed", "TimeDistributed\\(Dense"),
        (layers.GaussianDropout(0.1, name="odd"), "GaussianDropout", "Replace it by layers among"),
    ],
)
def test_the_error_names_the_layer_the_reason_and_the_way_out(layer, kind, way):
    x = keras.Input((STEPS, FEATURES), name="x")
    model = keras.Model(x, kv.VanillaRNN(4)(layer(x)))
    with pytest.raises(
        ValueError, match=rf"'odd' \({kind}\) has no integer form in training: .*{way}.*kv.tflite.export"
    ):
        kv.compression.quantize_aware(model, calibration_data=signal())


def test_attention_is_refused():
    x = keras.Input((STEPS, FEATURES), name="x")
    model = keras.Model(x, kv.VanillaRNN(4)(layers.MultiHeadAttention(1, 2, name="odd")(x, x)))
    with pytest.raises(ValueError, match=r"'odd' \(MultiHeadAttention\)"):
        kv.compression.quantize_aware(model, calibration_data=signal())


def test_an_activation_of_a_recurrence_is_refused():
    x = keras.Input((STEPS, FEATURES), name="x")
    model = keras.Model(x, kv.VanillaRNN(4, activation="elu", name="odd")(x))
    with pytest.raises(ValueError, match=r"'odd': its activation 'elu'.*kv.tflite.export"):
        kv.compression.quantize_aware(model, "int16x8", calibration_data=signal())


def test_an_operation_is_refused():
    x = keras.Input((STEPS, FEATURES), name="x")
    h = kv.VanillaRNN(4)(x)
    model = keras.Model(x, h + h)
    with pytest.raises(ValueError, match=r"operation 'add.*' \(keras.ops.add\).*keras.layers.Add"):
        kv.compression.quantize_aware(model, calibration_data=signal())


def test_a_quantized_model_is_refused():
    x = keras.Input((STEPS, FEATURES), name="x")
    made = kv.compression.quantize_aware(keras.Model(x, kv.VanillaRNN(4)(x)), calibration_data=signal())
    with pytest.raises(ValueError, match="is quantization-aware already"):
        kv.compression.quantize_aware(made, calibration_data=signal())


def test_masks_that_int16_files_cannot_combine():
    inputs = keras.Input((STEPS, FEATURES))
    masked = layers.Masking()(inputs)
    h = layers.Concatenate()([kv.VanillaRNN(3, return_sequences=True)(masked), layers.Dense(2)(masked)])
    model = keras.Model(inputs, kv.VanillaRNN(2)(h))
    with pytest.raises(ValueError, match=r"must not combine masks .*Mask behind that layer"):
        kv.compression.quantize_aware(model, "int16x8", calibration_data=signal())
