"""SOFTMAX in C: every integer against TFLite Micro."""

import firmware
import numpy as np
import pytest
from micro_operators import Draws, options

from keras_vrnn.firmware.softmax import exponentials
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.micro.interpreter import is_installed

micro = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
TARGETS = {"int8": Quantization(2.0**-8, -128), "int16": Quantization(2.0**-15, 0)}


@micro
@pytest.mark.parametrize("width", [1, 2, 10, 300])
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_softmax(dtype, width, tmp_path):
    for seed in range(6):
        draws = Draws(seed, dtype)
        scale = draws.between(-8, 1) if dtype == "int8" else draws.between(-15, -9)
        shape, settings = (20, width), options("Softmax", beta=1.0)
        inputs = [(draws.values(*shape), draws.format(scale))]
        firmware.assert_operator(tmp_path, "SOFTMAX", inputs, shape, dtype, TARGETS[dtype], settings)


def test_the_table_ends_where_the_exponentials_do():
    table = exponentials(Quantization(0.5, 3), 1.0)
    assert table[0] == 2**31 - 1
    assert len(table) < 256
    # The kernel's polynomial of four terms is off by up to 1e-7.
    np.testing.assert_allclose(table / 2.0**31, np.exp(-0.5 * np.arange(len(table))), atol=2e-7)
