"""Each operator, written and run, against NumPy."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from small_graphs import computed, finished, new_graph, run

from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import SCHEMES, Stored
from keras_vrnn.tflite.exporting.writing import operators as op

rng = np.random.default_rng(0)
X = rng.normal(size=(2, 6, 3)).astype("float32")
Y = rng.normal(size=(2, 6, 3)).astype("float32")
FORMAT = Quantization(0.05, 3)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_fully_connected(flat, with_bias):
    weights, bias = rng.normal(size=(4, 3)).astype("float32"), np.arange(4, dtype="float32")

    def build(main, x):
        b = main.constant("b", bias) if with_bias else -1
        return op.fully_connected(main, "z", x, main.constant("w", weights), b, np.float32, None, flat)

    (made,) = computed(build, X)
    expected = X @ weights.T + (bias if with_bias else 0)
    np.testing.assert_allclose(made, expected.reshape(12, 4) if flat else expected, atol=1e-5)  # rounding


@pytest.mark.parametrize("inputs", [1, 15, 64])
@pytest.mark.parametrize("with_bias", [False, True])
def test_fully_connected_with_weights_of_four_bits(with_bias, inputs):
    from tflite_micro.python.tflite_micro import runtime

    draw = np.random.default_rng(inputs)
    scheme, source, target = SCHEMES["int8x4"], Quantization(0.02, 3), Quantization(0.05, -5)
    matrix, bias = draw.normal(size=(inputs, 7)), draw.normal(size=7) if with_bias else None
    weights, stored_bias = scheme.product(matrix, bias, source, target)
    file, main = new_graph()
    x = main.tensor("x", (20, inputs), np.int8, source)
    b = -1 if stored_bias is None else main.stored("b", stored_bias)
    z = op.fully_connected(main, "z", x, op.weights(main, "w", weights), b, np.int8, target)
    content = finished(file, [x], [z])

    integers = draw.integers(-128, 128, (20, inputs)).astype(np.int8)
    bias = None if stored_bias is None else stored_bias.array
    expected = integer.fully_connected(
        integers, weights.array, bias, source, weights.quantization, target
    ).astype(int)
    # TFLite Micro rounds the product twice, LiteRT once.
    assert np.abs(run(content, integers)[0].astype(int) - expected).max() <= 1
    micro = runtime.Interpreter.from_bytes(content)
    micro.set_input(integers, 0)
    micro.invoke()
    np.testing.assert_array_equal(micro.get_output(0), expected)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("NONE", lambda v: v),
        ("RELU", lambda v: np.maximum(v, 0)),
        ("RELU6", lambda v: np.clip(v, 0, 6)),
        ("RELU_N1_TO_1", lambda v: np.clip(v, -1, 1)),
    ],
)
def test_add_with_a_fused_activation(activation, function):
    fused = getattr(schema.ActivationFunctionType, activation)
    (made,) = computed(lambda main, x, y: op.add(main, "a", x, y, None, fused), X, Y)
    np.testing.assert_allclose(made, function(X + Y), atol=1e-6)  # rounding


UNCHANGED = {
    "reverse": (lambda main, x: op.reverse(main, "r", x), X[:, ::-1]),
    "reshape": (lambda main, x: op.reshape(main, "r", x, (6, 6)), X.reshape(6, 6)),
    "shaped": (lambda main, x: op.shaped(main, "r", x, (2, 18)), X.reshape(2, 18)),
    "gather": (lambda main, x: op.gather(main, "g", x, main.constant("t", np.array([4], np.int32))), X[:, 4:5]),
    "slice": (
        lambda main, x: op.slice_(main, "s", x, main.constant("p", np.array([0, 2, 1], np.int32)), (2, 3, 2)),
        X[:, 2:5, 1:],
    ),
    "split and concatenate": (lambda main, x: op.concatenate(main, "c", op.split(main, "s", x)[::-1]), X[:, ::-1]),
    "halves": (lambda main, x: op.halves(main, "h", op.slice_(
        main, "s", x, main.constant("p", np.array([0, 2, 0], np.int32)), (2, 2, 3)))[1], X[:, 3:4]),
    "zeros": (lambda main, x: op.zeros(main, "z", (2, 5), np.float32, None), np.zeros((2, 5))),
    "zeros of int16": (lambda main, x: op.zeros(main, "z", (2, 5), np.int16, Quantization(0.1, 0)), np.zeros((2, 5))),
    "zeros of int8": (lambda main, x: op.zeros(main, "z", (2, 5), np.int8, Quantization(0.1, -7)), np.full((2, 5), -7)),
    "cast": (lambda main, x: op.cast(main, "c", x, np.int32), X.astype("int32")),
}  # fmt: skip


@pytest.mark.parametrize("case", UNCHANGED)
def test_operators_that_move_numbers(case):
    build, expected = UNCHANGED[case]
    (made,) = computed(build, X)
    np.testing.assert_array_equal(made, expected)


def test_a_tensor_in_its_shape_needs_no_operator():
    _, main = new_graph()
    x = main.tensor("x", (2, 3), np.float32)
    assert op.shaped(main, "r", x, (2, 3)) == x
    assert op.reshape(main, "r", x, (2, 3)) != x


@pytest.mark.parametrize("parts", [2, 9, 10, 11, 23, 101])
def test_concatenations_of_at_most_ten_inputs(parts):
    x = np.arange(2.0 * parts * 3, dtype="float32").reshape(2, parts, 3)
    file, main = new_graph()
    source = main.tensor("x", x.shape, np.float32)
    made = op.concatenate(main, "c", op.split(main, "s", source))
    main.subgraph.inputs = [source]
    most = max(
        (len(o.inputs) for o in main.subgraph.operators if file.operator_name(o) == "CONCATENATION"),
        default=0,
    )
    assert most <= 10
    np.testing.assert_array_equal(run(finished(file, [source], [made]), x)[0], x)


def test_a_single_step_is_neither_split_nor_joined():
    _, main = new_graph()
    x = main.tensor("x", (2, 1, 3), np.float32)
    assert op.split(main, "s", x) == [x]
    assert op.concatenate(main, "c", [x]) == x


def test_update_writes_into_a_copy():
    part = np.full((2, 2, 3), 9, np.float32)

    def build(main, x, p):
        return op.update(main, "u", x, p, main.constant("p", np.array([0, 3, 0], np.int32)))

    (made,) = computed(build, X, part)
    expected = X.copy()
    expected[:, 3:5] = 9
    np.testing.assert_array_equal(made, expected)


def test_select_by_a_comparison():
    def build(main, x, y):
        condition = op.compare(main, "NOT_EQUAL", "c", x, main.constant("v", X[:1, :1, :1].copy()))
        return op.select(main, "s", condition, y, x)

    (made,) = computed(build, X, Y)
    np.testing.assert_array_equal(made, np.where(X[0, 0, 0] != X, Y, X))


@pytest.mark.parametrize("name", ["TANH", "LOGISTIC"])
def test_activations(name):
    (made,) = computed(lambda main, x: op.unary(main, name, "h", x, None), X)
    np.testing.assert_allclose(
        made, np.tanh(X) if name == "TANH" else 1 / (1 + np.exp(-X)), atol=1e-6
    )  # rounding


def test_take_reads_a_table():
    table, indices = np.arange(10, dtype="float32") ** 2, np.array([[3, 9], [0, 1]], np.int32)
    (made,) = computed(lambda main, i: op.take(main, "t", main.constant("table", table), i), indices)
    np.testing.assert_array_equal(made, table[indices])


def test_quantize_rounds_and_requantizes():
    def build(main, x):
        first = main.tensor("q", X.shape, np.int8, FORMAT)
        op.quantize_into(main, x, first)
        return [
            first,
            op.quantize(main, "again", first, Quantization(0.1, 0)),
            op.dequantize(main, "d", first),
        ]

    first, again, back = computed(build, X)
    np.testing.assert_array_equal(first, np.clip(np.round(X / np.float32(0.05)) + 3, -128, 127))
    real = (first.astype("float64") - 3) * 0.05
    np.testing.assert_allclose(back, real, atol=1e-6)  # rounding
    assert np.abs(again * 0.1 - np.clip(real, -12.8, 12.7)).max() <= 0.05 + 1e-6  # half a step


def test_float16_weights_are_dequantized():
    weights = rng.normal(size=(4, 3)).astype("float16")

    def build(main, x):
        return op.fully_connected(main, "z", x, op.weights(main, "w", Stored(weights)), -1, np.float32, None)

    (made,) = computed(build, X)
    np.testing.assert_allclose(made, X @ weights.astype("float32").T, atol=1e-5)  # rounding
