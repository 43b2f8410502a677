"""The share of each signal beyond its format, in the result of an export."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

X = np.random.default_rng(0).uniform(-100, 100, (32, 8, 3)).astype("float32")


def ill_conditioned(activation="tanh"):
    """Inputs up to ±100, and one unit whose weights are 50 times the others'."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 3), name="x")
    initial = keras.initializers.Identity() if activation == "relu" else "orthogonal"
    h = kv.VanillaRNN(6, activation=activation, recurrent_initializer=initial, name="rnn")(inputs)
    model = kv.Model(inputs, keras.layers.Dense(2)(h))
    kernel = model.get_layer("rnn").cell.kernel
    kernel.assign(kernel * np.array([50, 1, 1, 1, 1, 1], "float32"))
    return model


@pytest.mark.filterwarnings("ignore::keras_vrnn.tflite.AccuracyWarning")
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_export_and_quantization_aware_training_report_saturation(quantization, tmp_path):
    model = ill_conditioned()
    plain = kv.tflite.export(
        model, tmp_path / "p.tflite", quantization=quantization, calibration_data=X, max_error=10
    )
    aware = kv.compression.quantize_aware(model, quantization, calibration_data=X)
    trained = kv.tflite.export(aware, tmp_path / "q.tflite", calibration_data=X, max_error=10)
    for result in (plain, trained):
        (name,) = result.scales
        assert set(result.saturation[name]) == {"a", "h"}
        assert result.saturation[name]["a"] > 0.5
        assert f", in {name}" in str(result)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_signals_within_their_formats_are_not_saturated(activation, tmp_path):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 3), name="x")
    model = kv.Model(inputs, kv.VanillaRNN(6, activation, name="rnn")(inputs))
    data = X / 1000
    result = kv.tflite.export(model, tmp_path / "m.tflite", calibration_data=data)
    (shares,) = result.saturation.values()
    assert max(shares.values()) < 0.01
    assert "saturated" not in str(result)
    assert kv.tflite.export(model, tmp_path / "f.tflite", quantization="float32").saturation == {}
