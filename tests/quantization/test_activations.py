"""Functions of one number: every integer against TFLite Micro, over random formats."""

import numpy as np
import pytest
from micro_operators import Draws, assert_equal, options

from keras_vrnn.quantization import activations
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.micro.interpreter import is_installed

micro = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
SEEDS, SHAPE = range(12), (1, 3000)


@micro
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("name", ["ABS", "LEAKY_RELU", "PRELU", "RELU", "RELU6", "RSQRT"])
def test_both_types(name, dtype, tmp_path):
    for seed in SEEDS:
        draws = Draws(seed, dtype)
        source = draws.format()
        x, target = draws.values(*SHAPE), draws.format(source.scale * draws.between(-4, 4))
        inputs, settings = [(x, source)], None
        if name == "ABS" and seed % 3 == 0:
            target = source  # the kernel's way without a factor
        if name == "RELU6":
            target = source = draws.format(draws.between(-1, 4) / draws.largest())
            inputs = [(x, source)]
        if name == "LEAKY_RELU":
            settings = options("LeakyRelu", alpha=float(draws.rng.uniform(-0.5, 1.5)))
        if name == "PRELU":
            alpha = Draws(seed, "int8").format(draws.between(-9, -5))
            alpha = Quantization(alpha.scale, 0) if dtype == "int16" else alpha
            inputs.append((Draws(seed + 100, "int8").values(*SHAPE), alpha, True))
        if name == "RSQRT":  # defined from 0 on
            inputs = [(np.maximum(x, source.zero_point).astype(x.dtype), source)]
            target = draws.format(draws.between(-3, 2) / np.sqrt(source.scale) / draws.largest())
        assert_equal(tmp_path / "m", name, inputs, SHAPE, dtype, target, settings)


@micro
@pytest.mark.parametrize("name", ["ELU", "HARD_SWISH", "L2_NORMALIZATION"])
def test_int8_alone(name, tmp_path):
    for seed in SEEDS:
        draws = Draws(seed, "int8")
        shape = (40, 1 + 7 * seed)
        source = draws.format(draws.between(-7, -2))
        target = draws.format(source.scale * draws.between(-1, 1))
        settings = None
        if name == "L2_NORMALIZATION":
            target, settings = Quantization(1 / 128, 0), options("L2Norm")
        x = draws.values(*shape)
        x[0] = source.zero_point
        assert_equal(tmp_path / "m", name, [(x, source)], shape, "int8", target, settings)


def test_the_inverse_root_of_a_negative_number_is_refused():
    q = Quantization(0.1, 0)
    with pytest.raises(ValueError, match="RSQRT is defined for positive values only"):
        activations.inverse_sqrt(np.array([-1], np.int8), q, q)


def test_halves_are_rounded_away_from_zero():
    real = np.array([0.5, -0.5, 1.5, 2.4999998, -2.5, 0.49999997], np.float32)
    np.testing.assert_array_equal(activations.round_half_away(real), [1, -1, 2, 2, -3, 0])
