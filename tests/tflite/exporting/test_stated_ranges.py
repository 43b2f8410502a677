"""Layers converted with stated formats: the operators of the file, each format exactly as stated."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from stated_models import Case, built, chain, one_layer

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting import stated_ranges
from keras_vrnn.tflite.exporting.capture import sampling
from keras_vrnn.tflite.exporting.capture.observation import observe
from keras_vrnn.tflite.exporting.capture.partition import partition
from keras_vrnn.tflite.exporting.options import Options
from keras_vrnn.tflite.exporting.writing import stitching

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


@BOTH
@pytest.mark.parametrize("layer", [layers.Dense(4), layers.Conv1D(4, 3), layers.DepthwiseConv1D(3)])
def test_batch_normalization_behind_weights_is_folded_into_them(quantization, layer):
    layer = built(layer.__class__.from_config(layer.get_config()), (8, 3))
    normalization = built(layers.BatchNormalization(), layer.compute_output_shape((1, 8, 3))[1:])
    case = Case(
        lambda mark, x: [mark("y", tf.nn.relu(normalization(layer(x), training=False)))],
        [(1, 8, 3)],
        quantization,
    )
    names = [line.partition("(")[0] for line in case.operators() if "RESHAPE" not in line]
    assert len(names) == 1
    assert names[0].endswith("+relu")
    assert max(case.errors()) <= BARS[quantization]


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
def test_inputs_and_outputs_keep_their_order(quantization):
    """Outputs that are an input, or twice the same, and inputs that are read in another order."""

    def function(mark, a, b):
        y = mark("y", b * 2.0)
        return [y, mark("z", a[:, :3] + 1.0), b, y]

    case = Case(function, [(1, 6), (1, 6)], quantization)
    main = case.main
    assert [case.name_of(main, int(k)) for k in main.subgraph.inputs] == ["x0", "x1"]
    assert [case.name_of(main, int(k)) for k in main.subgraph.outputs] == ["y", "z", "x1", "y"]
    assert max(case.errors()) <= BARS[quantization]


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


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda mark, a: mark("y", tf.nn.elu(a)), "ELU"),
        (lambda mark, a: mark("y", a / mark("d", tf.exp(a))), "DIV"),
        (lambda mark, a: mark("y", tf.where(a > 0.0, a, -1.0)), "GREATER"),
    ],
)
def test_what_int16x8_lacks_is_named(function, name):
    with pytest.raises(ValueError, match=f"takes with quantization='int16x8'. Received: .*'{name}'"):
        Case(lambda mark, a: [function(mark, a)], [(1, 6)], "int16x8").convert()


@BOTH
def test_a_marked_constant_is_refused(quantization):
    """The converter may compute such a mark and leave no trace of it."""
    case = Case(lambda mark, a: [mark("y", a * mark("f", tf.constant([0.5, 2.0])))], [(1, 2)], quantization)
    with pytest.raises(ValueError, match="marks only on tensors that depend on its inputs"):
        case.convert()


@BOTH
def test_a_loop_is_refused(quantization):
    def function(mark, a):
        return [mark("y", tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: v + 1.0, [a])[0])]

    with pytest.raises(ValueError, match="must have no loop besides"):
        Case(function, [(1, 6)], quantization).convert()


class Marked(layers.Dense):
    """A dense layer that states its formats: inputs and results in [-1, 1]."""

    def __init__(self, units, quantization, **options):
        super().__init__(units, **options)
        self.quantization = quantization

    def call(self, inputs):
        held = TANH[self.quantization]
        inputs = stated_ranges.mark(inputs, held, self.quantization)
        return stated_ranges.mark(super().call(inputs), held, self.quantization)


@BOTH
def test_the_file_joins_with_a_recurrence_as_a_calibrated_one(quantization, tmp_path):
    inputs = keras.Input((5, 3))
    x = kv.VanillaRNN(4, return_sequences=True)(Marked(3, quantization)(inputs))
    model = keras.Model(inputs, Marked(2, quantization)(kv.VanillaRNN(4)(x)))
    data = np.random.default_rng(0).uniform(-0.99, 0.99, (16, 5, 3)).astype("f")
    options = Options("sequence", quantization, "float32", "explicit", 1, "minmax", 0.1)
    calls = observe(model, [data[:1]])
    parts = partition(
        model, {model.inputs[0].name: tf.TensorSpec((1, 5, 3), tf.float32)}, calls, quantization
    )
    _, formats_of, value_formats = sampling.calibrated(model, options, parts, [data])
    content, _ = stitching.stitch(
        parts, stated_ranges.convert(parts.stock, quantization), formats_of, value_formats, options
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(content.pack())
    runner = kv.tflite.Runner(path)
    made = np.concatenate([runner(row[None]) for row in data])
    # Two recurrences of five steps at 1/128.
    np.testing.assert_allclose(made, model.predict(data, verbose=0), atol=0.06)
