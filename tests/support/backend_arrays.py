"""NumPy's assertions on tensors of any backend (PyTorch's with a gradient refuse to be arrays)."""

import numpy as np
from keras import ops


def _array(value):
    return np.asarray(ops.convert_to_numpy(value))


def assert_allclose(actual, expected, rtol=0.0, atol=0.0):
    np.testing.assert_allclose(_array(actual), _array(expected), rtol=rtol, atol=atol)


def assert_array_equal(actual, expected):
    np.testing.assert_array_equal(_array(actual), _array(expected))
