"""Layers converted with stated formats: the operators of the file, each format exactly as stated."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from stated_models import BARS, TANH, UNIT, Case, built, check, one_layer

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting import stock
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

BOTH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


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
@pytest.mark.parametrize(
    ("layer", "operators"),
    [
        (layers.Conv1D(4, 3), ["RESHAPE(x0) x0", "CONV_2D(x0, w, b) y"]),
        (layers.Conv1D(4, 3, use_bias=False), ["RESHAPE(x0) x0", "CONV_2D(x0, w, b) y"]),
        (
            layers.Conv1D(4, 3, padding="same", activation="relu"),
            ["RESHAPE(x0) x0", "CONV_2D+relu(x0, w, b) y"],
        ),
        (
            layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
            ["PAD(x0) x0", "RESHAPE(x0) x0", "CONV_2D(x0, w, b) y"],
        ),
        (
            layers.DepthwiseConv1D(3, depth_multiplier=2, activation="relu6"),
            ["RESHAPE(x0) x0", "DEPTHWISE_CONV_2D+relu6(x0, w, b) y"],
        ),
    ],
    ids=["valid", "no bias", "same", "causal", "depthwise"],
)
def test_convolutions(quantization, layer, operators):
    check(one_layer(layer, (8, 3), quantization), *operators, "RESHAPE(y) y")


@BOTH
def test_a_separable_convolution_marks_the_value_between_its_parts(quantization):
    layer = built(layers.SeparableConv1D(4, 3), (8, 3))

    def function(mark, x):
        between = mark("u", keras.ops.depthwise_conv(x, layer.depthwise_kernel, 1, "valid"))
        return [mark("y", keras.ops.conv(between, layer.pointwise_kernel, 1, "valid") + layer.bias)]

    check(
        Case(function, [(1, 8, 3)], quantization),
        "RESHAPE(x0) x0",
        "DEPTHWISE_CONV_2D(x0, w, b) u",
        "CONV_2D(u, w, b) y",
        "RESHAPE(y) y",
    )


@BOTH
@pytest.mark.parametrize(
    ("layer", "operators"),
    [
        (layers.MaxPooling1D(2), ["RESHAPE", "MAX_POOL_2D", "RESHAPE"]),
        (layers.AveragePooling1D(2, padding="same"), ["RESHAPE", "AVERAGE_POOL_2D", "RESHAPE"]),
        (layers.GlobalMaxPooling1D(), ["RESHAPE", "MAX_POOL_2D", "RESHAPE", "STRIDED_SLICE"]),
        (layers.Flatten(), ["RESHAPE"]),
        (layers.Permute((2, 1)), ["TRANSPOSE"]),
        (layers.Cropping1D(1), ["STRIDED_SLICE"]),
        (layers.ZeroPadding1D(1), ["PAD"]),
        (layers.Dropout(0.5), []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_move_integers_need_no_mark(quantization, layer, operators):
    dense = built(layers.Dense(6), (8, 6))
    model = keras.Sequential([keras.Input((8, 6)), layer])
    last = built(layers.Dense(3), model.output_shape[1:])
    case = Case(
        lambda mark, x: [mark("y", last(layer(mark("d", dense(x)))))], [(1, 8, 6)], quantization, model
    )
    moves = [f"{operator}(d) d" for operator in operators]
    check(case, "FULLY_CONNECTED(x0, w, b) d", *moves, "FULLY_CONNECTED(d, w, b) y")


@BOTH
@pytest.mark.parametrize(
    ("function", "operators"),
    [
        (lambda mark, a, b: mark("y", a + b), ["ADD(x0, x1) y"]),
        (lambda mark, a, b: mark("y", a - b), ["SUB(x0, x1) y"]),
        (lambda mark, a, b: mark("y", a * b), ["MUL(x0, x1) y"]),
        (lambda mark, a, b: mark("y", mark("s", a + b) * 0.5), ["ADD(x0, x1) s", "MUL(s, #) y"]),
        (lambda mark, a, b: mark("y", tf.nn.relu(a + b)), ["ADD+relu(x0, x1) y"]),
        (lambda mark, a: mark("y", tf.reduce_sum(a, 1)), ["SUM(x0) y"]),
        (lambda mark, a: mark("y", tf.reduce_mean(a, 1)), ["MEAN(x0) y"]),
        (lambda mark, a: mark("y", tf.nn.relu(a)), ["RELU(x0) y"]),
        (lambda mark, a, b: mark("y", tf.matmul(a, b, transpose_b=True)), ["BATCH_MATMUL(x0, x1) y"]),
        (lambda mark, a: mark("y", a * tf.sigmoid(a)), ["LOGISTIC(x0) unit", "MUL(x0, unit) y"]),
    ],
)
def test_operators_that_rescale(quantization, function, operators):
    shape = (1, 5, 6)
    count = function.__code__.co_argcount - 1
    case = Case(lambda mark, *inputs: [function(mark, *inputs)], [shape] * count, quantization)
    check(case, *operators)


@BOTH
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda a, b: tf.concat([a, b], -1), "CONCATENATION"),
        (lambda a, b: tf.stack([a, b], 1), "PACK"),
        (tf.maximum, "MAXIMUM"),
        (tf.minimum, "MINIMUM"),
    ],
    ids=["concat", "stack", "maximum", "minimum"],
)
def test_operators_of_one_format_read_converted_operands(quantization, function, name):
    case = Case(lambda mark, a, b: [mark("y", function(a, b))], [(1, 6), (1, 6)], quantization)
    *before, last = case.operators()
    assert sorted(before) == ["QUANTIZE(x0) y", "QUANTIZE(x1) y"]
    assert last == f"{name}(y, y) y"
    assert max(case.errors()) <= BARS[quantization]


@BOTH
def test_operands_of_one_format_are_joined_as_they_are(quantization):
    """Both directions of a tanh recurrence."""
    held = TANH[quantization]
    case = Case(
        lambda mark, a, b: [mark("y", tf.concat([mark("u", tf.tanh(a)), mark("v", tf.tanh(b))], -1))],
        [(1, 6), (1, 6)],
        quantization,
        fixed={"u": held, "v": held, "y": held},
    )
    names = [line.partition("(")[0] for line in case.operators()]
    assert names == ["TANH", "TANH", "CONCATENATION"]


@pytest.mark.parametrize("kind", [layers.Dense, layers.Conv1D, layers.DepthwiseConv1D])
def test_batch_normalization_behind_weights_is_folded_into_them(kind):
    """To the last bit: kernel · inv and b · inv + (β - mean · inv), where inv = γ · rsqrt(variance + ε)."""
    arguments = {layers.Dense: (4,), layers.Conv1D: (4, 3), layers.DepthwiseConv1D: (3,)}[kind]
    layer = built(kind(*arguments), (8, 3))
    normalization = built(layers.BatchNormalization(), layer.compute_output_shape((1, 8, 3))[1:])
    gamma, beta, mean, variance = map(np.float32, normalization.get_weights())
    kernel, bias = layer.get_weights()
    inverse = tf.math.rsqrt(variance + np.float32(normalization.epsilon)).numpy() * gamma
    function = tf.function(lambda x: normalization(layer(x), training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((1, 8, 3)))
    main = ModelFile(stock.convert(concrete, "float32")).main
    (operator,) = [each for each in main.subgraph.operators if len(each.inputs) == 3]
    matrix, term = (main.data(int(index)) for index in operator.inputs[1:])
    if kind is not layers.DepthwiseConv1D:
        matrix = np.moveaxis(matrix, 0, -1)
    np.testing.assert_array_equal(np.ravel(matrix), np.ravel(kernel.reshape(-1, len(gamma)) * inverse))
    np.testing.assert_array_equal(term, bias * inverse + (beta - mean * inverse))


@BOTH
def test_batch_normalization_and_relu_behind_weights_are_one_operator(quantization):
    dense, normalization = built(layers.Dense(4), (6,)), built(layers.BatchNormalization(), (4,))

    def function(mark, x):
        return [mark("y", tf.nn.relu(normalization(dense(x), training=False)))]

    check(Case(function, [(1, 6)], quantization), "FULLY_CONNECTED+relu(x0, w, b) y")


@BOTH
def test_batch_normalization_alone_is_a_product_and_a_sum(quantization):
    factor, term = np.linspace(-1, 2, 6, dtype="f"), np.linspace(-0.5, 0.3, 6, dtype="f")
    case = Case(lambda mark, x: [mark("y", mark("p", x * factor) + term)], [(1, 8, 6)], quantization)
    check(case, "MUL(x0, #) p", "ADD(p, #) y")
    with pytest.raises(ValueError, match=r"result of MUL in 'batch_normalization.* with no mark"):
        one_layer(layers.BatchNormalization(), (8, 6), quantization).convert()


def normalized(quantization):
    """Layer normalization in the forms of `capture/substitutes.py`, with all its marks."""
    factor, term = np.linspace(-1, 2, 6, dtype="f"), np.linspace(-0.5, 0.3, 6, dtype="f")

    def function(mark, x):
        centred = mark("c", x - mark("m", tf.reduce_mean(x, -1, keepdims=True)))
        if quantization == "int8":
            root = tf.fill((1, 8, 1), np.float32(np.sqrt(6e-3)))
            unit = tf.nn.l2_normalize(mark("k", tf.concat([centred, root], -1)), -1)
            made = mark("n", unit[..., :6] * np.float32(np.sqrt(6)))
        else:
            variance = mark("v", tf.reduce_mean(mark("s", centred * centred), -1, keepdims=True))
            made = mark("n", centred * mark("r", tf.math.rsqrt(mark("e", variance + 1e-3))))
        return [mark("y", mark("p", made * factor) + term)]

    return Case(function, [(1, 8, 6)], quantization)


def test_layer_normalization_int8():
    check(
        normalized("int8"),
        "MEAN(x0) m",
        "SUB(x0, m) c",
        "QUANTIZE(c) k",
        "CONCATENATION(k, #k) k",
        "L2_NORMALIZATION(k) unit",
        "STRIDED_SLICE(unit) unit",
        "MUL(unit, #) n",
        "MUL(n, #) p",
        "ADD(p, #) y",
    )


def test_layer_normalization_int16x8():
    check(
        normalized("int16x8"),
        "MEAN(x0) m",
        "SUB(x0, m) c",
        "MUL(c, c) s",
        "MEAN(s) v",
        "ADD(v, #) e",
        "RSQRT(e) r",
        "MUL(c, r) n",
        "MUL(n, #) p",
        "ADD(p, #) y",
    )


@BOTH
def test_a_mean_over_unmasked_steps(quantization):
    """In the forms of `capture/substitutes.py`, with a mask as numbers of scale 1."""

    def function(mark, x, numbers):
        counts = mark("m", tf.nn.relu(numbers))[..., None]
        product = mark("p", x * counts)
        if quantization == "int8":
            total, count = mark("t", tf.reduce_sum(product, 1)), mark("k", tf.reduce_sum(counts, 1))
            return [mark("y", total / mark("d", tf.maximum(count, 1.0)))]
        total, count = mark("t", tf.reduce_mean(product, 1)), mark("k", tf.reduce_mean(counts, 1))
        root = mark("r", tf.math.rsqrt(mark("d", tf.maximum(count, 1 / 8))))
        return [mark("y", mark("z", total * root) * root)]

    case = Case(function, [(1, 8, 6), (1, 8)], quantization, fixed={"m": Quantization(1.0)})
    lines = set(case.operators()) - {"RELU(x1) m", "RESHAPE(m) m", "STRIDED_SLICE(m) m"}
    assert lines == (
        {"MUL(x0, m) p", "SUM(p) t", "SUM(m) k", "QUANTIZE(k) d", "MAXIMUM(d, #d) d", "DIV(t, d) y"}
        if quantization == "int8"
        else {
            "MUL(x0, m) p",
            "MEAN(p) t",
            "MEAN(m) k",
            "QUANTIZE(k) d",
            "MAXIMUM(d, #d) d",
            "RSQRT(d) r",
            "MUL(t, r) z",
            "MUL(z, r) y",
        }
    )


@BOTH
def test_softplus_in_its_parts(quantization):
    dense = built(layers.Dense(4), (6,))

    def function(mark, x):
        return [mark("y", tf.math.log(mark("s", mark("e", tf.exp(mark("z", dense(x)))) + 1.0)))]

    check(
        Case(function, [(1, 6)], quantization),
        "FULLY_CONNECTED(x0, w, b) z",
        "EXP(z) e",
        "ADD(e, #) s",
        "LOG(s) y",
    )
