"""Number formats in a file are those of the quantization-aware model."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.tflite.exporting.trained import scheme_of

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

X = np.random.default_rng(0).normal(size=(16, 6, 3)).astype("float32")


def model(quantization=None, bits=8):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 3), name="x")
    h = kv.VanillaRNN(4, return_sequences=True, name="a")(keras.layers.Dense(5, "relu", name="d")(inputs))
    made = kv.Model(inputs, kv.VanillaRNN(3, activation="relu", name="b")(h))
    if quantization is None:
        return made
    return compression.quantize_aware(made, quantization, weight_bits=bits, calibration_data=X)


@pytest.mark.parametrize(
    ("quantization", "bits", "scheme"),
    [("int8", 8, "int8"), ("int8", 4, "int8x4"), ("int16x8", 8, "int16x8")],
)
def test_scales_of_the_file_are_those_of_the_model(quantization, bits, scheme, tmp_path):
    from keras_vrnn.compression.quantized import signals

    made = model(quantization, bits)
    assert scheme_of(made) == scheme
    kv.tflite.export(made, tmp_path / "m.tflite")
    with signals.noting() as notes:
        made(X)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    x = next(note.formats["x"] for note in notes if "x" in note.formats)
    h = notes[-1].formats["h"]
    assert given["quantization"] == (np.float32(x.scale), x.zero_point)
    assert result["quantization"] == (np.float32(h.scale), h.zero_point)


def test_a_float_model_has_no_scheme():
    assert scheme_of(model()) is None


def test_layers_of_several_schemes_are_refused():
    inputs = keras.Input((6, 3), name="x")
    both = keras.Model(inputs, [model("int8")(inputs), model("int16x8")(inputs)])
    with pytest.raises(ValueError, match=r"layers for int16x8 and int8. Make it by one call"):
        scheme_of(both)


def test_the_export_needs_no_data_and_ignores_that_it_has(tmp_path):
    made = model("int8")
    kv.tflite.export(made, tmp_path / "a.tflite")
    kv.tflite.export(made, tmp_path / "b.tflite", calibration_data=100 * X)
    first, second = (kv.tflite.simulate(tmp_path / f"{name}.tflite", X) for name in "ab")
    np.testing.assert_array_equal(first, second)
