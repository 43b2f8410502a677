"""What can't be exported is refused with the reason, and leaves no file."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from exported_models import dense_front, random_data, random_tokens, token_model
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

REFUSED = {
    "io": (dict(io="int16"), r"io='int16': .* quantization='int8' are 'int8' \(the default\) or 'float32'"),
    "io of floats": (dict(io="int8", quantization="float16"), r"io='int8': .*'float16' are 'float32'"),
    "state": (dict(state="outside"), r"state='outside': expected one of 'explicit', 'internal'"),
    "state of a sequence": (dict(state="internal"), r"state='internal': with form='sequence' every invoke"),
    "batch": (dict(batch_size=0), r"batch_size=0: expected a positive integer"),
    "calibration": (dict(calibration="max"), r"calibration='max': expected one of 'minmax', 'percentile'"),
    "form": (dict(form="stream"), r"form='stream': expected one of 'sequence', 'unrolled', 'streaming'"),
    "quantization": (
        dict(quantization="int4"),
        r"quantization='int4': expected one of 'float32', 'float16', 'dynamic', 'int8', 'int16x8'",
    ),
    "no data": (dict(calibration_data=None), r"calibration_data: quantization='int8' needs inputs"),
    "empty": (
        dict(calibration_data=np.zeros((0, 9, 4))),
        r"calibration_data: it is empty \(shape \(0, 9, 4\)\)",
    ),
    "rank": (
        dict(calibration_data=np.zeros((9, 4))),
        r"expected the shape \(samples, 9, 4\), received \(9, 4\)",
    ),
    "shape": (dict(calibration_data=np.zeros((2, 9, 5))), r"expected the shape \(samples, 9, 4\)"),
    "NaN": (dict(calibration_data=np.full((2, 9, 4), np.nan)), r"calibration_data: it holds NaN"),
    "text": (dict(calibration_data=np.full((2, 9, 4), "a")), r"calibration_data: expected numbers"),
    "ragged": (dict(calibration_data=[[1.0], [1.0, 2.0]]), r"calibration_data: expected an array of shape"),
    "names": (dict(calibration_data={"y": np.zeros((2, 9, 4))}), r"calibration_data: expected the inputs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused_before_any_work(case, tmp_path):
    options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kv.tflite.export(
            dense_front(), tmp_path / "m.tflite", **{"calibration_data": random_data(2, 9, 4)} | options
        )
    assert list(tmp_path.iterdir()) == []


def test_fractions_are_no_tokens(tmp_path):
    with pytest.raises(ValueError, match=r"expected integers, received fractions \(e.g. 0.5\)"):
        kv.tflite.export(token_model(), tmp_path / "m.tflite", calibration_data=np.full((2, 12), 0.5))


class DoubledCell(kv.VanillaRNNCell):
    def call(self, sequence, states, training=False):
        h, states = super().call(sequence, states, training)
        return 2 * h, states


class Unbuildable(keras.Model):
    def get_config(self):
        raise NotImplementedError("no configuration")


def unexportable(kind):
    inputs = keras.Input((9, 4))
    if kind == "no recurrence":
        return keras.Model(inputs, layers.Dense(3)(inputs))
    if kind == "softmax":
        return keras.Model(inputs, kv.VanillaRNN(3, activation="softmax")(inputs))
    if kind == "cell":
        return keras.Model(inputs, layers.RNN(DoubledCell(3))(inputs))
    if kind == "rebuild":
        return Unbuildable(inputs, kv.VanillaRNN(3, dtype="float64")(inputs))
    if kind == "overflow":
        layer = kv.VanillaRNN(3, activation="exponential")
        model = keras.Model(inputs, layer(inputs))
        layer.cell.recurrent_kernel.assign(10 * np.eye(3))
        return model
    if kind == "lstm":
        return keras.Model(inputs, layers.LSTM(3)(kv.VanillaRNN(3, return_sequences=True)(inputs)))
    return keras.Sequential([kv.VanillaRNN(3)])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no recurrence", "holds no VanillaRNN or SimpleRNN layer"),
        ("softmax", "has the activation 'softmax', which mixes the units"),
        ("cell", "is a DoubledCell with a `call` of its own"),
        ("rebuild", r"can't be rebuilt otherwise \(no configuration\)"),
        ("overflow", "the state of layer 'vanilla_rnn.*' becomes NaN or infinite"),
        ("lstm", "it holds a loop besides its vanilla RNN layers"),
        ("unbuilt", "expected a built functional or Sequential Keras model"),
    ],
)
def test_unsupported_models_are_refused_with_the_reason(kind, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        kv.tflite.export(unexportable(kind), tmp_path / "m.tflite", calibration_data=random_data(4, 9, 4))
    assert list(tmp_path.iterdir()) == []


def test_undefined_time_dimension_without_data_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((None, 4), name="x"), kv.VanillaRNN(3)])
    with pytest.raises(ValueError, match=r"input 'x' has the undefined shape \(None, None, 4\)"):
        kv.tflite.export(model, tmp_path / "m.tflite", quantization="float32")


def test_float_tokens_inside_a_nested_model_are_refused(tmp_path):
    inner = keras.Sequential([keras.Input((9,)), layers.Embedding(30, 4)])
    inputs = keras.Input((9,), name="tokens")
    model = keras.Model(inputs, kv.VanillaRNN(3)(inner(inputs)))
    with pytest.raises(
        ValueError, match=r"input 'tokens' is declared float32, but the model reads it as integers"
    ):
        kv.tflite.export(model, tmp_path / "m.tflite", calibration_data=random_tokens(4, 9, 30))


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        kv.tflite.export(dense_front(), path, quantization="float32")
    assert path.read_text() == "precious"
    kv.tflite.export(dense_front(), path, quantization="float32", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.tflite"]


def test_a_file_that_does_not_run_is_not_left_behind(tmp_path, monkeypatch):
    # The only way to a broken file is a fault of our own, so one is made: an operator that no runtime knows.
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
