"""Means, sums and maxima: every integer against TFLite Micro, and against the real numbers."""

import numpy as np
import pytest
from micro_operators import Draws, assert_equal, movement, options, window

from keras_vrnn.quantization import pooling
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.windows import Window
from keras_vrnn.tflite.micro.interpreter import is_installed

micro = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])


@micro
@TYPES
@pytest.mark.parametrize("name", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_windows(name, dtype, tmp_path):
    for seed in range(24):
        draws = Draws(seed, dtype)
        image, w = window(draws)
        w = Window(w.size, w.stride, same=w.same)
        source = draws.format()
        settings = options(
            "Pool2D",
            **movement(w),
            filterHeight=w.size[0],
            filterWidth=w.size[1],
            fusedActivationFunction=draws.activation(),
        )
        x, result = draws.values(2, *image, 3), (2, *w.results(image), 3)
        assert_equal(tmp_path / "m", name, [(x, source)], result, dtype, source, settings)


@micro
@TYPES
@pytest.mark.parametrize("name", ["MEAN", "SUM"])
def test_axes(name, dtype, tmp_path):
    for seed in range(20):
        draws = Draws(seed, dtype)
        x, source = draws.values(2, 3, int(draws.rng.integers(1, 70)), 4), draws.format()
        axes = [(1,), (2,), (1, 2), (-1,), (0, 1, 2, 3)][seed % 5]
        count = np.prod([x.shape[axis] for axis in axes])
        target = draws.format(source.scale * (1 if name == "MEAN" else np.sqrt(count)) * draws.between(-2, 2))
        keep = seed % 2 == 0
        shape = x.mean(axis=axes, keepdims=keep).shape
        inputs = [(x, source), (np.array(axes, np.int32), None, True)]
        settings = options("Reducer", keepDims=keep)
        assert_equal(tmp_path / "m", name, inputs, shape, dtype, target, settings)


@TYPES
def test_means_are_right_to_a_step(dtype):
    x = np.random.default_rng(0).integers(-100, 100, (2, 5, 6, 3)).astype(dtype)
    source, target = (
        Quantization(0.1, 5 if dtype == "int8" else 0),
        Quantization(0.07, 2 if dtype == "int8" else 0),
    )
    real = (x - source.zero_point) * source.scale
    mean = pooling.mean(x, (1, 2), source, target)
    wanted = real.mean(axis=(1, 2), keepdims=True)
    # Rounded twice, before and after a shift: at most 3/4 of a step.
    np.testing.assert_allclose((mean - target.zero_point) * target.scale, wanted, atol=0.0525)
    total = pooling.total(x, (1,), source, Quantization(0.5, 0))
    # Rounded twice, before and after a shift of two bits: 5/8 of a step.
    np.testing.assert_allclose(total * 0.5, real.sum(axis=1, keepdims=True), atol=0.313)
    pooled = pooling.average_pool(x, source, Window((5, 6), (1, 1)))
    np.testing.assert_allclose((pooled - source.zero_point) * source.scale, wanted, atol=0.051)
