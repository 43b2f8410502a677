"""The stock converter on graphs without recurrences, and what the README says of it on graphs with them."""

import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from against_keras import exported_errors
from ai_edge_litert.interpreter import Interpreter
from exported_models import random_data
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting import stock
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

WEIGHTS = tf.Variable(np.arange(1, 4, dtype="float32"))


def without_weights(a, b):
    """Outputs that differ in value, and two that are an input."""
    return [b[:, :3], a[:, :3] + 2.0, a, a + b, a]


def with_weights(a, b):
    return [b[:, :3] * WEIGHTS, a[:, :3] + 2.0, a, a + b, a]


@pytest.mark.parametrize("function", [without_weights, with_weights])
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_inputs_and_outputs_keep_their_order(function, quantization):
    # Names against the order of the alphabet, by which the converter sorts a signature.
    specs = [tf.TensorSpec((1, 6), tf.float32, "z"), tf.TensorSpec((1, 6), tf.float32, "a")]
    concrete = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    x = [np.full((1, 6), value, np.float32) for value in (1.0, 0.25)]
    samples = None if quantization == "float32" else lambda: iter([x, [-v for v in x]])
    content = stock.convert(concrete, quantization, samples)
    file = ModelFile(content)
    assert not file.model.signatureDefs
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()

    def real(index, detail):
        scale, zero_point = detail["quantization"]
        value = interpreter.get_tensor(index).astype(np.float64)
        return (value - zero_point) * scale if scale else value

    inputs = {d["index"]: d for d in interpreter.get_input_details()}
    outputs = {d["index"]: d for d in interpreter.get_output_details()}
    for index, value in zip(map(int, file.main.subgraph.inputs), x, strict=True):
        scale, zero_point = inputs[index]["quantization"]
        given = np.round(value / scale) + zero_point if scale else value
        interpreter.set_tensor(index, given.astype(inputs[index]["dtype"]))
    interpreter.invoke()
    made = [real(index, outputs[index]) for index in map(int, file.main.subgraph.outputs)]
    for received, expected in zip(made, concrete(*map(tf.constant, x)), strict=True):
        # Rounding; or two steps of 1/128 of a range of about 4.
        np.testing.assert_allclose(received, expected, atol=1e-6 if quantization == "float32" else 0.06)


def test_operations_without_a_builtin_are_named(tmp_path):
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, keras.ops.argmax(kv.VanillaRNN(4)(inputs), axis=-1))
    with pytest.raises(
        ValueError, match="Received: BitwiseAnd, for which TFLite has no builtin operator"
    ) as error:
        kv.tflite.export(model, tmp_path / "m", quantization="float32")
    assert len(str(error.value)) < 500  # the converter prints pages
    assert list(tmp_path.iterdir()) == []


def with_stacked_cells(unroll):
    inputs = keras.Input((5, 3))
    x = kv.VanillaRNN(4, return_sequences=True)(inputs)
    cells = [layers.LSTMCell(3), layers.GRUCell(3)]
    return keras.Model(inputs, layers.RNN(cells, unroll=unroll)(x))


@pytest.mark.parametrize(("quantization", "unroll"), [("float32", False), ("int8", True)])
def test_other_recurrences_beside_ours(quantization, unroll, tmp_path):
    errors = exported_errors(with_stacked_cells(unroll), random_data(9, 5, 3), tmp_path / "m", quantization)
    assert max(errors) <= (1e-5 if quantization == "float32" else 0.05)  # rounding; int8


def test_a_loop_is_not_calibrated(tmp_path):
    with pytest.raises(
        ValueError, match=r"must have no loop besides .* Received: the operations .*While.*unroll=True"
    ):
        kv.tflite.export(with_stacked_cells(False), tmp_path / "m", calibration_data=random_data(9, 5, 3))
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import sys
import keras, numpy as np, tensorflow as tf

kind, batch, unroll, int8 = {arguments}
layer = getattr(keras.layers, kind)(6, unroll=unroll)
model = keras.Sequential([keras.Input(batch_shape=(batch, 12, 4)), layer])
converter = tf.lite.TFLiteConverter.from_keras_model(model)
if int8:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.ones((1, 12, 4), "float32")] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
print("size", len(converter.convert()))
"""


def convert(batch, unroll, int8, kind="SimpleRNN"):
    program = PROGRAM.format(arguments=(kind, batch, unroll, int8))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_open_batch_size_is_a_converter_error():
    result = convert(None, False, False)
    assert result.returncode == 1
    assert "TensorListReserve" in result.stderr


@pytest.mark.slow
def test_int8_with_a_loop_crashes_the_process():
    assert convert(1, False, True).returncode == -signal.SIGSEGV


@pytest.mark.slow
def test_int8_unrolled_converts():
    assert "size" in convert(1, True, True).stdout


@pytest.mark.slow
@pytest.mark.parametrize(("unroll", "int8"), [(False, False), (True, True)])
def test_the_advice_for_other_recurrences_is_true(unroll, int8):
    assert "size" in convert(1, unroll, int8, "LSTM").stdout
