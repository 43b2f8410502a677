"""Layers converted with stated formats: the operators of the file, each format exactly as stated."""

import pytest
import tensorflow as tf
from keras import layers
from stated_models import Case, built, chain, one_layer

from keras_vrnn.quantization.formats import Quantization

BOTH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])
TANH = {"int8": Quantization(1 / 128), "int16x8": Quantization(1 / 32768)}
UNIT = {"int8": Quantization(1 / 256, -128), "int16x8": Quantization(1 / 32768)}  # of sigmoid and softmax
# Largest error of an output relative to its range: five int8 steps of about 1/255 for a sum of a few rounded signals
# and weights; int16x8 has int8 weights too, so half as much.
BARS = {"int8": 0.02, "int16x8": 0.01}


def check(case, *operators):
    """The file has these operators, computes about what the function does, and its inputs and outputs are in order."""
    assert case.operators() == list(operators)
    assert max(case.errors()) <= BARS[case.quantization]


@BOTH
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
@pytest.mark.parametrize("steps", [(), (5,)])
def test_dense(quantization, activation, steps):
    case = one_layer(layers.Dense(4, activation), (*steps, 6), quantization)
    check(case, f"FULLY_CONNECTED{'+' + activation if activation else ''}(x0, w, b) y")


@BOTH
@pytest.mark.parametrize(
    ("function", "operator", "fixed"),
    [
        (tf.tanh, "TANH", TANH),
        (tf.sigmoid, "LOGISTIC", UNIT),
        (tf.nn.softmax, "SOFTMAX", UNIT),
        (tf.nn.gelu, "GELU", {}),
        (tf.exp, "EXP", {}),
        (tf.nn.leaky_relu, "LEAKY_RELU", {}),
    ],
)
def test_an_activation_that_is_an_operator_reads_a_marked_tensor(quantization, function, operator, fixed):
    dense = built(layers.Dense(4), (6,))
    marked = Case(
        lambda mark, x: [mark("y", function(mark("z", dense(x))))],
        [(1, 6)],
        quantization,
        fixed={"y": fixed.get(quantization)},
    )
    check(marked, "FULLY_CONNECTED(x0, w, b) z", f"{operator}(z) y")


@BOTH
def test_concatenated_values_keep_their_formats_for_other_readers(quantization):
    first, second, last = (
        built(layers.Dense(3), (5, 6)),
        built(layers.Dense(3), (5, 6)),
        built(layers.Dense(2), (5, 3)),
    )

    def function(mark, a, b):
        u, v = mark("u", first(a)), mark("v", second(b))
        return [mark("c", tf.concat([u, v], -1)), mark("e", last(u)), u]

    case = Case(function, [(1, 5, 6), (1, 5, 6)], quantization)
    assert sorted(case.operators()) == sorted(
        [
            "FULLY_CONNECTED(x0, w, b) u",
            "FULLY_CONNECTED(x1, w, b) v",
            "FULLY_CONNECTED(u, w, b) e",
            "QUANTIZE(u) c",
            "QUANTIZE(v) c",
            "CONCATENATION(c, c) c",
        ]
    )
    assert max(case.errors()) <= BARS[quantization]


@BOTH
def test_a_mark_keeps_layers_apart(quantization):
    """Without marks the converter adds the first bias, times the second weights, to the second bias."""
    case = chain(layers.Dense(3), layers.Dense(2), shape=(5, 6), quantization=quantization)
    check(case, "FULLY_CONNECTED(x0, w, b) y0", "FULLY_CONNECTED(y0, w, b) y1")


@BOTH
def test_a_value_without_a_mark_is_named(quantization):
    case = one_layer(layers.LayerNormalization(), (8, 6), quantization)
    with pytest.raises(ValueError, match=r"the result of MEAN in 'layer_normalization.*' with no mark"):
        case.convert()


@BOTH
def test_a_pool_with_another_format_than_its_operand_is_refused(quantization):
    case = chain(layers.Dense(3), layers.AveragePooling1D(2), shape=(8, 6), quantization=quantization)
    with pytest.raises(ValueError, match=r"average_pooling1d.*instead of scale .*whose integers it moves"):
        case.convert()


def test_floats_never_stay():
    case = one_layer(layers.Dense(3, "elu"), (6,), "int8")
    with pytest.raises(ValueError, match=r"the result of FULLY_CONNECTED .*no mark"):
        case.convert()
    dense = built(layers.Dense(3), (6,))
    case = Case(lambda mark, x: [mark("y", tf.nn.elu(mark("z", dense(x))))], [(1, 6)], "int8")
    with pytest.raises(ValueError, match=r"that TFLite computes with integers\. Received: the operator ELU"):
        case.convert()
