"""The weights of a Keras cell as arrays."""

import numpy as np
from keras import layers

from keras_vrnn.tflite.exporting.recurrences.weights import weights_of


def test_weights_and_zeros_for_a_missing_bias():
    cell = layers.GRUCell(4, use_bias=False)
    cell.build((None, 3))
    kernel, recurrent_kernel, bias = weights_of(cell)
    np.testing.assert_array_equal(kernel, np.array(cell.kernel))
    np.testing.assert_array_equal(recurrent_kernel, np.array(cell.recurrent_kernel))
    np.testing.assert_array_equal(bias, np.zeros(12))
    assert {w.dtype.name for w in (kernel, recurrent_kernel, bias)} == {"float32"}
