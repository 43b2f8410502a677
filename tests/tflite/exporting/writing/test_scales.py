"""Operators that pick integers without reading their scales, each between Keras and the file."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from exported_models import random_data, randomize
from keras import layers, ops

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting.writing import operators, scales
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

X = random_data(40, 10, 4)
TOKENS = np.random.default_rng(0).integers(0, 7, (40, 10)).astype("int32")
COUNTED = np.random.default_rng(0).integers(0, 7, (40, 10, 3)).astype("int32")
# What stands before the recurrence: function, data, its dtype.
CASES = {
    "one_hot": (lambda t: ops.one_hot(t, 7), TOKENS, "int8"),
    "one_hot times 5": (lambda t: 5 * ops.one_hot(t, 7), TOKENS, "int8"),
    "CategoryEncoding": (
        lambda t: layers.CategoryEncoding(7, output_mode="one_hot")(t),
        TOKENS[..., None],
        "both",
    ),
    "CategoryEncoding count": (lambda t: layers.CategoryEncoding(7, output_mode="count")(t), COUNTED, "both"),
    "CategoryEncoding multi_hot": (lambda t: layers.CategoryEncoding(7)(t), COUNTED, "both"),
    "padding": (lambda t: ops.pad(t, [[0, 0], [2, 1], [0, 0]], constant_values=5.0), X, "both"),
    "maximum": (lambda t: ops.maximum(t, 0.3 * t + 0.2), X, "both"),
    "minimum": (lambda t: ops.minimum(t, 0.3), X, "both"),
    "where": (lambda t: ops.where(t > 0.2, t, 4.0), X, "int8"),
    "sum": (lambda t: t - ops.sum(t, -1, keepdims=True), X, "both"),
    "sum over time": (lambda t: t + 0.1 * ops.sum(t, 1, keepdims=True), X, "both"),
}


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("case", CASES)
def test_operators_that_pick(case, quantization, tmp_path):
    function, x, formats = CASES[case]
    if quantization == "int16x8" and formats != "both":
        pytest.skip("the stock converter has no int16 form of it")
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name, name="x")
    model = randomize(keras.Model(inputs, layers.Dense(3, name="y")(kv.VanillaRNN(8)(function(inputs)))))
    result = kv.tflite.export(model, tmp_path / "m", quantization=quantization, calibration_data=x)
    # As other models of this size; read with wrong scales these gave 0.02 (saturated) to 0.4.
    assert result.errors["y"] <= 0.015


def graph_of(dtype, *formats):
    """A graph with an input of each format."""
    graph, _ = ModelFile().graph("main")
    tensors = [graph.tensor(f"t{k}", (1, 4), dtype, q) for k, q in enumerate(formats)]
    return graph, tensors


def test_constants_are_converted_when_they_are_written():
    narrow, wide = Quantization(0.01, 0), Quantization(0.1, 5)
    graph, (x, y) = graph_of(np.int8, wide, wide)
    constant = graph.constant("c", np.array([50], np.int8), narrow)
    graph.operator("MAXIMUM", [x, constant], [y])
    scales.agree(graph)
    (operator,) = graph.subgraph.operators
    assert graph.data(operator.inputs[1]).tolist() == [10]  # 0.5 = 0.1 · (10 − 5)


def test_an_operand_of_another_format_is_converted_on_the_way():
    graph, (x, other, y) = graph_of(
        np.int8, Quantization(0.1, 5), Quantization(0.01, 0), Quantization(0.1, 5)
    )
    graph.operator("MAXIMUM", [x, other], [y])
    scales.agree(graph)
    assert [graph.file.operator_name(o) for o in graph.subgraph.operators] == ["MAXIMUM", "QUANTIZE"]


@pytest.mark.parametrize("scale", [1e-40, 1e35, np.inf, np.nan])
def test_scales_that_end_the_process_are_refused(scale):
    graph, _ = graph_of(np.int8, Quantization(scale, 0))
    with pytest.raises(ValueError, match="the value 't0' would need the scale"):
        scales.check(graph.file)


@pytest.mark.parametrize(("dtype", "ratio"), [(np.int8, 2.0**19), (np.int16, 2.0**14)])
def test_terms_too_far_apart_are_refused(dtype, ratio):
    for factor in (0.9, 1.1):
        graph, (x, y) = graph_of(dtype, Quantization(factor * ratio, 0), Quantization(1.0, 0))
        operators.add(graph, "sum", x, y, Quantization(1.0, 0), schema.ActivationFunctionType.NONE)
        if factor < 1:
            scales.check(graph.file)
            continue
        with pytest.raises(ValueError, match="'sum' is a sum of terms"):
            scales.check(graph.file)


def test_formats_that_differ_by_rounding_are_adopted():
    exact, rounded, other = Quantization(0.1, 3), Quantization(0.1 * (1 + 1e-7), 3), Quantization(0.2, 3)
    graph, indices = graph_of(np.int8, rounded, other)
    reference, _ = graph_of(np.int8, exact, exact)
    scales.adopt(graph, reference)
    assert [graph.quantization(index).scale for index in indices] == [np.float32(0.1), np.float32(0.2)]
