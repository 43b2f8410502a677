"""What the quantizers change is set back: formats, tables, constant operands, weights and biases."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from stated_models import Case, built, rounded_up

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting.stated_ranges import Weights
from keras_vrnn.tflite.exporting.writing import stated as restoring

BOTH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


@pytest.fixture(params=["named", "unnamed"])
def constants(request, monkeypatch):
    """Constants as the quantizer of TensorFlow 2.21 leaves them, and as that of 2.20, which gives all the same name."""
    original = restoring.restore

    def restore(main, *others):
        for index, tensor in enumerate(main.subgraph.tensors):
            if main.data(index) is not None:
                tensor.name = "tfl.pseudo_qconst"
        original(main, *others)

    if request.param == "unnamed":
        monkeypatch.setattr(restoring, "restore", restore)


def dense_case(quantization, integers, scale, bias, stated):
    """A dense layer whose weights are `integers` times `scale`, and whose bias is in steps of the accumulator."""
    outputs = integers.shape[1]
    layer = layers.Dense(outputs)
    layer.build((1, len(integers)))
    case = Case(lambda mark, x: [mark("y", layer(x))], [(1, len(integers))], quantization)
    step = case.formats["x0"].scale
    layer.set_weights([np.float32(integers * scale), np.float32(bias * (step * scale))])
    weights = [Weights("kernel", layer.get_weights()[0], scale)] if stated else []
    return Case(lambda mark, x: [mark("y", layer(x))], [(1, len(integers))], quantization, weights=weights)


def stored(case):
    """The weights and the bias of the only dense layer: integers and scales."""
    main = case.main
    (operator,) = [
        each for each in main.subgraph.operators if main.file.operator_name(each) == "FULLY_CONNECTED"
    ]
    return [(main.data(int(index)), main.quantization(int(index)).scale) for index in operator.inputs[1:3]]


@BOTH
@pytest.mark.usefixtures("constants")
@pytest.mark.parametrize("stated", [False, True])
def test_weights_on_a_grid_come_back_exactly(quantization, stated):
    rng = np.random.default_rng(2)
    integers = rng.integers(-127, 128, (6, 4))
    integers[0] = 127
    count = 4 if quantization == "int8" else 1
    scale = rounded_up(rng.uniform(0.001, 0.1, count), 16)
    bias = rng.integers(-5000, 5000, 4)
    case = dense_case(quantization, integers, scale, bias, stated)
    (weights, scales), (biases, _) = stored(case)
    np.testing.assert_array_equal(weights, integers.T)
    np.testing.assert_array_equal(np.atleast_1d(np.float32(scales)), np.float32(scale))
    np.testing.assert_array_equal(biases, bias)
    assert biases.dtype == {"int8": np.int32, "int16x8": np.int64}[quantization]


@BOTH
def test_stated_weights_keep_a_scale_that_they_do_not_fill(quantization):
    """A channel of zeros, weights of four bits: the quantizers would choose other scales."""
    integers = np.random.default_rng(3).integers(-7, 8, (6, 3))
    integers[:, 1] = 0
    scale = rounded_up(np.array([0.01, 0.02, 0.03]), 16) if quantization == "int8" else np.array([0.015625])
    bias = np.array([100, -200, 300])
    (weights, scales), (biases, bias_scales) = stored(dense_case(quantization, integers, scale, bias, True))
    np.testing.assert_array_equal(weights, integers.T)
    np.testing.assert_array_equal(np.atleast_1d(np.float32(scales)), np.float32(scale))
    np.testing.assert_array_equal(biases, bias)
    assert np.size(bias_scales) == len(scale)


@BOTH
def test_stated_weights_that_the_file_lacks_are_an_error(quantization):
    dense = built(layers.Dense(3), (6,))
    case = Case(
        lambda mark, x: [mark("y", dense(x) * 2.0)],
        [(1, 6)],
        quantization,
        weights=[Weights("dense/kernel", dense.get_weights()[0], 0.1)],
    )
    with pytest.raises(ValueError, match="the weights 'dense/kernel', which the file does not hold"):
        case.convert()


@BOTH
def test_weights_beyond_their_scale_are_an_error(quantization):
    with pytest.raises(ValueError, match="weights 'kernel' of up to 254 steps"):
        dense_case(quantization, np.full((6, 3), 254), np.array([0.5]), np.zeros(3), True).convert()


@BOTH
def test_a_bias_that_does_not_fit_is_an_error(quantization):
    """With a channel of zeros the scale of the weights alone decides how fine the bias is."""
    integers = np.zeros((6, 3))
    small = dense_case(quantization, integers, np.array([2.0**-40]), np.full(3, 2**20), True)
    np.testing.assert_array_equal(stored(small)[1][0], np.full(3, 2**20))
    with pytest.raises(ValueError, match="biases that fit the accumulator"):
        dense_case(quantization, integers, np.array([2.0**-60]), np.full(3, 2.0**47), True).convert()


@BOTH
@pytest.mark.parametrize("factor", [0.0, 1e-20, 1e20])
def test_unstated_weights_of_any_size_end_no_process(quantization, factor):
    dense = built(layers.Dense(3), (6,))
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel * np.float32(factor), bias])
    case = Case(lambda mark, x: [mark("y", dense(x))], [(1, 6)], quantization)
    # A step of the output; and weights rounded to int8 if they matter.
    assert max(case.errors()) <= 0.01


@BOTH
@pytest.mark.usefixtures("constants")
def test_a_constant_operand_has_the_format_of_its_own_range(quantization):
    factors, terms = np.linspace(-1, 2, 6, dtype="f"), np.linspace(-0.5, 0.25, 6, dtype="f")

    def function(mark, x, y):
        return [mark("y", mark("p", x * factors) + terms), mark("z", y * factors)]

    main = Case(function, [(1, 6), (1, 6)], quantization).main
    scheme, seen = SCHEMES[quantization], []
    for operator in main.subgraph.operators:
        held, integers = main.quantization(operator.inputs[1]), main.data(operator.inputs[1])
        array = terms if main.file.operator_name(operator) == "ADD" else factors
        expected = scheme.format(array.min(), array.max())
        assert (held.scale, held.zero_point) == (np.float32(expected.scale), expected.zero_point)
        np.testing.assert_array_equal(integers, np.round(array / expected.scale) + expected.zero_point)
        seen.append(main.file.operator_name(operator))
    assert sorted(seen) == ["ADD", "MUL", "MUL"]


@BOTH
@pytest.mark.usefixtures("constants")
def test_constants_of_one_format_with_a_signal_are_rounded_to_it(quantization):
    case = Case(lambda mark, x: [mark("y", tf.maximum(x, 0.25))], [(1, 6)], quantization)
    assert case.operators() == ["QUANTIZE(x0) y", "MAXIMUM(y, #y) y"]
    held = case.formats["y"]
    constant = case.main.data(case.main.subgraph.operators[1].inputs[1])
    assert constant == round(0.25 / held.scale) + held.zero_point


@BOTH
@pytest.mark.usefixtures("constants")
@pytest.mark.parametrize("stated", [False, True])
def test_a_table_is_exact(quantization, stated):
    """int8: the table in the format of the result. int16x8: int8 weights, which QUANTIZE widens."""
    rng = np.random.default_rng(7)
    integers = rng.integers(-127, 128, (9, 4)) if not stated else rng.integers(-7, 8, (9, 4))
    if not stated:
        integers[0, 0] = 127
    scale = float(rounded_up(0.013, 16))
    embedding = layers.Embedding(9, 4)
    embedding.build()
    embedding.set_weights([np.float32(integers * scale)])
    weights = [Weights("table", embedding.get_weights()[0], scale)] if stated else []
    own = {"e": Quantization(scale, 3)} if quantization == "int8" else {}
    case = Case(
        lambda mark, t: [mark("e", embedding(t))],
        [((1, 5), 9)],
        quantization,
        keras.Sequential([embedding]),
        fixed=own,
        weights=weights if quantization == "int16x8" else [],
    )
    main = case.main
    table = main.subgraph.operators[0].inputs[0]
    held = main.quantization(table)
    assert (main.dtype(table), held.scale) == (np.int8, scale)
    stored_integers = main.data(table).astype(int) - held.zero_point
    np.testing.assert_array_equal(stored_integers, np.minimum(integers, 127 - held.zero_point))
    expected = ["GATHER(#e) e"] if quantization == "int8" else ["GATHER(w) row", "QUANTIZE(row) e"]
    assert case.operators() == expected


def test_a_comparison_of_large_scales_is_refused():
    """Its kernel would end the process."""
    case = Case(
        lambda mark, a, b: [mark("y", tf.where(mark("c", a * 500.0) > 0.0, a, b))], [(1, 6), (1, 6)], "int8"
    )
    with pytest.raises(ValueError, match=r"operator GREATER in .* with the scale"):
        case.convert()


def test_names_of_the_file_are_those_of_the_float_file():
    dense = built(layers.Dense(3, name="named"), (6,))
    main = Case(lambda mark, a, b: [mark("y", dense(a)), mark("z", dense(b))], [(1, 6), (1, 6)], "int8").main
    names = [tensor.name.decode() for tensor in main.subgraph.tensors]
    assert any("named" in name for name in names)
    assert not [name for name in names if "#" in name]
