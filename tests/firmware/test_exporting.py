"""C sources of a Keras model: those of its file; and what is no file and no such model."""

import keras
import numpy as np
import pytest
from exported_models import randomize

import keras_vrnn as kv


def network():
    """A model of random weights, and data."""
    inputs = keras.Input((7, 5), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(6, return_sequences=True)(inputs))
    return randomize(model, 3), np.random.default_rng(11).normal(size=(8, 7, 5)).astype(np.float32)


def test_a_model_becomes_what_its_file_becomes(tmp_path):
    model, x = network()
    options = {"form": "streaming", "quantization": "int16x8", "calibration_data": x}
    made = kv.tflite.write_c(model, tmp_path / "model", name="net", **options)
    kv.tflite.export(model, tmp_path / "m.tflite", **options)
    theirs = kv.tflite.write_c(tmp_path / "m.tflite", tmp_path / "file", name="net")
    for one, other in zip(made, theirs, strict=True):
        # The first line says where it comes from.
        assert one.read_text().splitlines()[1:] == other.read_text().splitlines()[1:]
    assert made[1].read_text().startswith(f"/* Written by keras-vrnn {kv.__version__} from the Keras model ")
    kv.tflite.write_c(model, tmp_path / "int8", calibration_data=x)
    assert "const int8_t *in_x" in (tmp_path / "int8" / "model.h").read_text()


def test_models_that_cannot_become_c(tmp_path):
    folder, (model, x) = tmp_path / "sources", network()
    with pytest.raises(ValueError, match="`calibration_data` must be given"):
        kv.tflite.write_c(model, folder)
    with pytest.raises(
        ValueError, match=r"must be something that can become C.*Received: the Keras model 'functional"
    ):
        kv.tflite.write_c(model, folder, quantization="float32")
    with pytest.raises(ValueError, match=r"`quantization` must be left out with a \.tflite file"):
        kv.tflite.write_c(tmp_path / "m.tflite", folder, quantization="int8")
    with pytest.raises(
        ValueError, match=r"`path_or_model` must be a \.tflite file or a Keras model\. .* type ndarray"
    ):
        kv.tflite.write_c(x, folder)
    pairs = kv.EncoderDecoder(5, 6, 4)
    with pytest.raises(
        ValueError, match=r"`path_or_model` must be one model\. Received: a kv\.EncoderDecoder"
    ):
        kv.tflite.write_c(pairs, folder)
    with pytest.raises(ValueError, match="`name` must be"):  # before an export
        kv.tflite.write_c(model, folder, name="int", calibration_data=x)
    with pytest.raises(TypeError, match="unexpected keyword argument 'quantisation'"):
        kv.tflite.write_c(model, folder, quantisation="int8")
    assert not folder.exists()
