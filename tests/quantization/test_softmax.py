"""SOFTMAX and LOG_SOFTMAX: every integer against TFLite Micro, and against the real numbers."""

import numpy as np
import pytest
from micro_operators import Draws, assert_equal, options

from keras_vrnn.quantization import softmax
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.micro.interpreter import is_installed

micro = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
RESULTS = {"int8": Quantization(1 / 256, -128), "int16": Quantization(1 / 32768, 0)}


def rows(draws):
    """Rows of one to 60 classes, at times close to each other and at times over the whole range."""
    x = draws.values(40, 1 + 5 * draws.seed)
    return (x // draws.rng.integers(1, 40)).astype(x.dtype) if draws.seed % 2 else x


@micro
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_softmax(dtype, tmp_path):
    for seed in range(12):
        draws = Draws(seed, dtype)
        x, source = rows(draws), draws.format(draws.between(-2, 7) / draws.largest())
        beta = options("Softmax", beta=1.0 if seed % 3 else float(draws.rng.uniform(0.3, 3)))
        assert_equal(tmp_path / "m", "SOFTMAX", [(x, source)], x.shape, dtype, RESULTS[dtype], beta)


@micro
def test_log_softmax(tmp_path):
    for seed in range(12):
        draws = Draws(seed, "int8")
        x, source = rows(draws), draws.format(draws.between(-9, 0))
        target, settings = Quantization(1 / 16, 127), options("LogSoftmax")
        assert_equal(tmp_path / "m", "LOG_SOFTMAX", [(x, source)], x.shape, "int8", target, settings)


def test_probabilities_are_right_to_a_step():
    x = np.arange(-128, 128, dtype=np.int8).reshape(16, 16)
    for dtype, source in (("int8", Quantization(0.05, 3)), ("int16", Quantization(0.05, 0))):
        real = (x.astype(float) - source.zero_point) * source.scale
        wanted = np.exp(real) / np.exp(real).sum(axis=-1, keepdims=True)
        made, q = softmax.softmax(x.astype(dtype), source), RESULTS[dtype]
        # int16: two tables read between their values, whose error is a few steps.
        steps = 1 if dtype == "int8" else 16
        np.testing.assert_allclose(
            (made.astype(float) - q.zero_point) * q.scale, wanted, atol=steps * q.scale
        )
        if dtype == "int8":
            logs = (softmax.log_softmax(x.astype(dtype), source).astype(float) - 127) / 16
            np.testing.assert_allclose(logs, np.maximum(np.log(wanted), -255 / 16), atol=1 / 16)
