"""Values that depend on no input, in the integers of a scheme or as they are."""

import numpy as np
import pytest
from small_graphs import new_graph

from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting.writing import constants

ARRAY = np.array([[-0.5, 0.0, 1.5]], np.float32)


@pytest.mark.parametrize("name", ["int8", "int16x8"])
def test_real_numbers_take_the_integers_of_the_scheme(name):
    _, main = new_graph()
    index = constants.write(main, "c", ARRAY, SCHEMES[name])
    assert main.dtype(index) == SCHEMES[name].dtype
    quantization = main.quantization(index)
    real = (main.data(index).astype(float) - quantization.zero_point) * quantization.scale
    assert np.abs(real - ARRAY).max() <= quantization.scale / 2 + 1e-6  # half a step


@pytest.mark.parametrize("name", ["float32", "dynamic"])
def test_in_float_they_stay(name):
    _, main = new_graph()
    index = constants.write(main, "c", ARRAY, SCHEMES[name])
    np.testing.assert_array_equal(main.data(index), ARRAY)
    assert main.quantization(index) is None


@pytest.mark.parametrize("array", [np.array([[True, False]]), np.array([[3, -7]], np.int32)])
def test_truth_values_and_integers_stay(array):
    _, main = new_graph()
    index = constants.write(main, "c", array, SCHEMES["int8"])
    np.testing.assert_array_equal(main.data(index), array)
    assert main.quantization(index) is None
