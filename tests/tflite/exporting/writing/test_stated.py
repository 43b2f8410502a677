"""What the quantizers change is set back: formats, tables, constant operands, weights and biases."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from stated_models import Case, built, rounded_up

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting.stated_ranges import Weights

BOTH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


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
def test_a_constant_operand_has_its_mark_or_its_own_range(quantization):
    factors, terms = np.linspace(-1, 2, 6, dtype="f"), np.linspace(-0.5, 0.25, 6, dtype="f")

    def function(mark, x):
        return [mark("y", mark("p", x * mark("f", tf.constant(factors))) + terms)]

    case = Case(function, [(1, 6)], quantization)
    assert case.operators() == ["MUL(x0, #f) p", "ADD(p, #) y"]
    main = case.main
    for operator, array in zip(main.subgraph.operators, (factors, terms), strict=True):
        index = int(operator.inputs[1])
        held: Quantization = main.quantization(index)
        real = held.scale * (main.data(index).astype(float) - held.zero_point)
        np.testing.assert_allclose(real, array, rtol=0, atol=held.scale / 2 * 1.0001)  # rounded to nearest
