"""From a model to a file: what must be given, what is refused, and what is left behind."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from exported_models import dense_front, random_data
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile


def test_integers_need_data(tmp_path):
    with pytest.raises(ValueError, match="`calibration_data` must be given with quantization='int8'"):
        kv.tflite.export(dense_front(), tmp_path / "m")


def test_undefined_time_dimension_without_data_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((None, 4), name="x"), kv.VanillaRNN(3)])
    with pytest.raises(ValueError, match=r"Received: input 'x' of shape \(None, None, 4\)"):
        kv.tflite.export(model, tmp_path / "m", quantization="float32")


def test_a_state_that_overflows_is_refused(tmp_path):
    inputs = keras.Input((9, 4))
    layer = kv.VanillaRNN(3, activation="exponential")
    model = keras.Model(inputs, layer(inputs))
    layer.cell.recurrent_kernel.assign(10 * np.eye(3))
    with pytest.raises(ValueError, match=r"'vanilla_rnn.*' becomes NaN or infinite"):
        kv.tflite.export(model, tmp_path / "m", calibration_data=random_data(4, 9, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_softmax_of_units_has_no_integers(tmp_path):
    inputs = keras.Input((9, 4))
    model = keras.Model(inputs, kv.VanillaRNN(3, activation="softmax")(inputs))
    with pytest.raises(ValueError, match="activation 'softmax', which mixes the units"):
        kv.tflite.export(model, tmp_path / "m", calibration_data=random_data(4, 9, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_the_model_does_not_take_is_refused(tmp_path):
    inputs = keras.Input(batch_shape=(6, 9, 4))
    model = keras.Model(inputs, keras.ops.reshape(kv.VanillaRNN(4)(inputs), (6, 2, 2)))
    with pytest.raises(ValueError, match=r"`model` must run on inputs of the shapes \[\(1, 9, 4\)\]"):
        kv.tflite.export(model, tmp_path / "m", quantization="float32")


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"[Pp]ass overwrite=True"):
        kv.tflite.export(dense_front(), path, quantization="float32")
    assert path.read_text() == "precious"
    kv.tflite.export(dense_front(), path, quantization="float32", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.tflite"]


def test_a_file_that_does_not_run_is_not_left_behind(tmp_path, monkeypatch):
    # The only way to a broken file is a fault of our own, so one is made: an operator that no runtime has.
    pack = ModelFile.pack

    def broken(self):
        self.model.operatorCodes[0].customCode = b"none"
        self.model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
        self.model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        return pack(self)

    monkeypatch.setattr(ModelFile, "pack", broken)
    with pytest.raises(ValueError, match=r"LiteRT can't run .* unresolved custom op: none"):
        kv.tflite.export(dense_front(), tmp_path / "m.tflite", quantization="float32")
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_its_own_call_is_exported_as_called(tmp_path):
    class Doubled(keras.Model):
        def call(self, x, training=None):
            return 2 * super().call(x)

    inputs = keras.Input((9, 4))
    model = Doubled(inputs, layers.Dense(2)(kv.VanillaRNN(3)(inputs)))
    kv.tflite.export(model, tmp_path / "m", quantization="float32")
    x = random_data(3, 9, 4)
    np.testing.assert_allclose(kv.tflite.Runner(tmp_path / "m")(x), model(x), atol=1e-5)  # float32 rounding
