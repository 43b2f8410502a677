"""Signatures, and integer files with float inputs and outputs."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from exported_models import random_data, randomize
from small_graphs import finished, new_graph

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.writing import edges
from keras_vrnn.tflite.exporting.writing import operators as op


def test_a_signature_names_tensors():
    file, main = new_graph()
    x = main.tensor("serving_x:0", (1, 3), np.float32)
    y = op.unary(main, "TANH", "Identity", x, None)
    edges.sign(file, "serving_default", 0, {"x": x}, {"y": y})
    runner = Interpreter(model_content=finished(file, [x], [y])).get_signature_runner("serving_default")
    np.testing.assert_allclose(runner(x=np.ones((1, 3), np.float32))["y"], np.tanh(1), atol=1e-6)  # rounding


def test_a_second_signature_is_added():
    file, main = new_graph()
    x = main.tensor("x", (1, 3), np.float32)
    edges.sign(file, "one", 0, {"x": x}, {})
    edges.sign(file, "two", 0, {}, {})
    assert [signature.signatureKey for signature in file.model.signatureDefs] == ["one", "two"]


@pytest.mark.parametrize(("quantization", "dtype"), [("int8", np.int8), ("int16x8", np.int16)])
def test_float_inputs_and_outputs_of_integer_files(quantization, dtype, tmp_path):
    inputs = keras.Input((6, 3), name="x")
    y = kv.VanillaRNN(4, return_sequences=True)(inputs)
    model = randomize(keras.Model(inputs, [y, y[:, -1]]))
    x = random_data(8, 6, 3)
    made = {}
    for io in (None, "float32"):
        kv.tflite.export(model, tmp_path / str(io), quantization=quantization, calibration_data=x, io=io)
        details = kv.tflite.Runner(tmp_path / str(io)).details
        assert {np.dtype(detail["dtype"]) for detail in details.values()} == {np.dtype(io or dtype)}
        made[io] = kv.tflite.Runner(tmp_path / str(io))(x)
    for own, as_float in zip(made[None].values(), made["float32"].values(), strict=True):
        np.testing.assert_allclose(own, as_float, atol=1e-6)  # one float32 multiplication
