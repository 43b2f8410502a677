"""Products in C: every integer against TFLite Micro, and the layout of the weights."""

import firmware
import numpy as np
import pytest
from micro_operators import Draws, movement, options

from keras_vrnn.firmware.products import blocks
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.windows import Window
from keras_vrnn.tflite.micro.interpreter import is_installed

micro = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])


def formats(draws, units, inputs, per_channel):
    """Formats of x, of the weights and of a result that uses its range."""
    source = draws.format(0.03)
    scale = draws.rng.uniform(0.002, 0.01, units).astype(np.float32) if per_channel else 0.005
    weights = Quantization(scale, 0, 0) if per_channel else Quantization(float(np.float32(scale)), 0)
    return source, weights, draws.format(0.03 * 0.005 * 70 * np.sqrt(inputs) * draws.between(-2, 1))


@micro
@TYPES
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("sizes", [(1, 32, 32), (3, 6, 5), (2, 1, 1), (4, 7, 9), (1, 130, 2)])
def test_fully_connected(sizes, per_channel, dtype, tmp_path):
    rows, inputs, units = sizes
    for seed, biased in enumerate((False, True)):
        draws = Draws(seed, dtype)
        source, weights_format, target = formats(draws, units, inputs, per_channel)
        bias_type = np.int32 if dtype == "int8" else np.int64
        bias_format = Quantization(
            np.float32(source.scale) * np.float32(weights_format.scale), 0, 0 if per_channel else None
        )
        given = [(draws.values(rows, inputs), source), (draws.weights(units, inputs), weights_format, True)]
        if biased:
            given.append((draws.rng.integers(-3000, 3000, units).astype(bias_type), bias_format, True))
        settings = options("FullyConnected", fusedActivationFunction=draws.activation())
        firmware.assert_operator(tmp_path, "FULLY_CONNECTED", given, (rows, units), dtype, target, settings)


@micro
def test_fully_connected_by_large_factors(tmp_path):
    """Factors of one and more: the kernel shifts to the left, and the sum may wrap around."""
    for seed in range(6):
        draws = Draws(seed, "int8")
        source, weights = draws.format(1.0), Quantization(float(np.float32(draws.between(-1, 1))), 0)
        given = [(draws.values(5, 6), source), (draws.weights(7, 6), weights, True)]
        settings = options("FullyConnected")
        target = draws.format(draws.between(-3, 8))
        firmware.assert_operator(tmp_path, "FULLY_CONNECTED", given, (5, 7), "int8", target, settings)


@micro
@TYPES
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(("stride", "gap"), [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)])
def test_convolution_over_time(stride, gap, same, dtype, tmp_path):
    draws = Draws(2, dtype)
    source, weights, target = formats(draws, 6, 12, per_channel=True)
    bias = Quantization(np.float32(source.scale) * np.float32(weights.scale), 0, 0)
    given = [
        (draws.values(1, 1, 11, 4), source),
        (draws.weights(6, 1, 3, 4), weights, True),
        (draws.rng.integers(-3000, 3000, 6).astype(np.int32 if dtype == "int8" else np.int64), bias, True),
    ]
    window = Window((1, 3), (1, stride), (1, gap), same)
    settings = options("Conv2D", dilationHFactor=1, dilationWFactor=gap, **movement(window))
    shape = (1, *window.results((1, 11)), 6)
    firmware.assert_operator(tmp_path, "CONV_2D", given, shape, dtype, target, settings)


@micro
@pytest.mark.parametrize("sizes", [(1, 32, 32), (3, 6, 5), (2, 1, 1), (4, 15, 9)])
def test_weights_of_four_bits(sizes, tmp_path):
    rows, inputs, units = sizes
    draws = Draws(7, "int8")
    source, weights_format, target = formats(draws, units, inputs, per_channel=False)
    weights = draws.rng.integers(-8, 8, (units, inputs)).astype(np.int8)
    given = [(draws.values(rows, inputs), source), (weights, weights_format, "int4")]
    settings = options("FullyConnected")
    firmware.assert_operator(tmp_path, "FULLY_CONNECTED", given, (rows, units), "int8", target, settings)
    assert "sums4(" in (tmp_path / "net.c").read_text()


def test_blocks_hold_four_units_by_four_inputs():
    weights = np.arange(1, 31, dtype=np.int8).reshape(5, 6)
    made = blocks(weights, "sums8").reshape(2, 2, 4, 4)
    np.testing.assert_array_equal(made[0, 0], weights[:4, :4])
    np.testing.assert_array_equal(made[0, 1, :, :2], weights[:4, 4:])
    np.testing.assert_array_equal(made[1, 0, 0], weights[4, :4])
    assert not made[0, 1, :, 2:].any()
    assert not made[1, :, 1:].any()
    swapped = blocks(weights, "sums16").reshape(2, 2, 4, 4)
    np.testing.assert_array_equal(swapped, made[..., [0, 2, 1, 3]])


def test_blocks_of_four_bits_hold_the_inputs_k_and_k_plus_four_in_one_byte():
    weights = np.arange(-8, 8, dtype=np.int8).reshape(2, 8)
    made = blocks(weights, "sums4").reshape(4, 4)
    np.testing.assert_array_equal(made[0] & 15, weights[0, :4] & 15)
    np.testing.assert_array_equal(made[1] >> 4, weights[1, 4:] & 15)
    assert not made[2:].any()
