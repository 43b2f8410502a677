"""inspect: its report against what is known of the files."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_graphs import finished, new_graph
from stock_files import convert

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import Stored
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.micro import interpreter as micro

X = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    model = keras.Sequential([keras.Input((9, 3), name="x"), kv.VanillaRNN(4), keras.layers.Dense(2)])
    return kv.tflite.export(model, tmp_path_factory.mktemp("inspect") / "m.tflite", calibration_data=X)


def test_an_exported_file(result):
    report = kv.tflite.inspect(result.path)
    assert report.size == result.size
    assert report.intact
    assert report.litert_reason == ""
    assert report.operators == result.operators
    assert report.signatures == result.signatures
    assert report.description == f"keras-vrnn {kv.__version__}"
    assert report.min_runtime_version.count(".") == 2
    assert (report.flex, report.foreign, report.micro_ready, report.micro_tried) == (False, (), True, True)
    main = report.subgraphs[0]
    (source,) = main.inputs
    detail = kv.tflite.Runner(result.path).details["x"]
    assert main.tensors[source].shape == (1, 9, 3)
    assert main.tensors[source].dtype == "INT8"
    assert (main.tensors[source].scale[0], main.tensors[source].zero_point[0]) == detail["quantization"]
    loop = next(operator for operator in main.operators if operator.name == "WHILE")
    assert len(loop.subgraphs) == 2
    kernel = next(
        t for graph in report.subgraphs for t in graph.tensors if t.name.endswith("recurrent_kernel")
    )
    assert (kernel.shape, kernel.bytes, len(kernel.scale), kernel.axis) == ((4, 4), 16, 4, 0)


def test_sizes_add_up(result):
    report = kv.tflite.inspect(result.path)
    assert sum(report.sizes.values()) == report.size
    # int8 kernels 3·4, 4·4, 4·2, int32 bias of 4; Dense's zero bias may be left out. The rest are a few small shapes.
    assert 36 + 16 <= report.sizes["weights"] <= 36 + 16 + 8 + 60
    assert report.sizes["metadata"] > len(report.description)


def test_text_and_json(result):
    report = kv.tflite.inspect(result.path)
    for line in (
        "Flex operators       no",
        "digest               matches",
        "LiteRT               yes (tried)",
        "TFLite Micro         yes (tried)",
        "WHILE(",
        "= 16 bytes",
        "output %",
    ):
        assert line in str(report)
    assert json.loads(report.to_json())["operators"] == result.operators


def test_a_file_of_tensorflow_without_its_kernels(tmp_path):
    path = convert(tmp_path / "flex.tflite", tf.tan, tf.TensorSpec((2,)), select=True)
    report = kv.tflite.inspect(path)
    assert report.flex
    assert report.foreign == ("CUSTOM:FlexTan",)
    assert "FlexTan" in report.litert_reason
    assert report.intact is None
    assert "digest               none" in str(report)
    assert not report.micro_ready
    assert "CUSTOM:FlexTan: TFLite Micro has no such operator" in str(report)


def test_an_operator_that_tflite_micro_lacks(tmp_path):
    path = convert(tmp_path / "sign.tflite", tf.sign, tf.TensorSpec((2,)))
    report = kv.tflite.inspect(path)
    assert report.micro_reasons == ("SIGN: TFLite Micro has no such operator",)
    assert not report.flex


def test_open_dimensions_are_minus_one(tmp_path):
    path = convert(tmp_path / "open.tflite", tf.tanh, tf.TensorSpec((None, 3)))
    report = kv.tflite.inspect(path)
    assert report.subgraphs[0].tensors[report.subgraphs[0].inputs[0]].shape == (-1, 3)


def test_without_tflite_micro_its_known_limits_serve(result, monkeypatch):
    monkeypatch.setattr(micro, "is_installed", lambda: False)
    report = kv.tflite.inspect(result.path)
    assert (report.micro_ready, report.micro_tried) == (True, False)
    assert "pip install 'keras-vrnn[micro]' to try it" in str(report)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match=r"must be a file that exists. Received: path='none.tflite'"):
        kv.tflite.inspect("none.tflite")


def test_weights_of_four_bits(tmp_path):
    model = keras.Sequential([keras.Input((9, 3), name="x"), kv.VanillaRNN(5), keras.layers.Dense(2)])
    result = kv.tflite.export(model, tmp_path / "m.tflite", quantization="int8x4", calibration_data=X)
    report = kv.tflite.inspect(result.path)
    found = {
        t.shape: (t.dtype, t.bytes, len(t.scale), t.axis)
        for graph in report.subgraphs
        for t in graph.tensors
        if t.dtype == "INT4"
    }
    # Two to a byte, the last half of an odd number left over.
    assert found == {
        shape: ("INT4", size, 1, None) for shape, size in {(5, 3): 8, (5, 5): 13, (2, 5): 5}.items()
    }
    assert report.min_runtime_version == "2.11.0"
    assert (report.micro_ready, report.micro_tried) == (True, True)
    assert "int4[5, 5]" in str(report)
    assert json.loads(report.to_json())["operators"] == result.operators


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("scales", "FULLY_CONNECTED: int4 weights with more than one scale"),
        ("int16", "FULLY_CONNECTED: int16 input with int4 weights"),
    ],
)
def test_weights_of_four_bits_that_only_litert_takes(change, reason, tmp_path, monkeypatch):
    dtype, axis = (np.int16, None) if change == "int16" else (np.int8, 0)
    scale = np.array([0.1, 0.2]) if axis == 0 else 0.1
    file, main = new_graph()
    x = main.tensor("x", (1, 3), dtype, Quantization(0.01))
    weights = Stored(np.ones((2, 3), np.int8), Quantization(scale, 0, axis), int4=True)
    z = op.fully_connected(main, "z", x, main.stored("w", weights), -1, dtype, Quantization(0.01))
    path = tmp_path / "m.tflite"
    path.write_bytes(finished(file, [x], [z]))
    report = kv.tflite.inspect(path)
    assert (report.litert_reason, report.micro_ready, report.micro_reasons) == ("", False, (reason,))
    assert not micro.attempt(path).runs
